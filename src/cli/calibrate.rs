//! The command that measures password hashes.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Serialize;

use super::output::{Format, Report, json};
use crate::{
    config::{CalibrationConfig, ConfigError},
    passwords::{Calibration, MINIMUM, calibrate, measure},
};

/// The time of one measurement.
const MEASUREMENT: Duration = Duration::from_secs(1);

/// The maximum memory of a hash in bytes, as for `POSTERN_HASH_MEMORY`.
const MAX_MEMORY: u64 = 4 << 30;

/// The minimum memory of a hash in bytes, recommended by OWASP.
const MIN_MEMORY: u64 = MINIMUM.memory_kib as u64 * 1024;

/// The command `calibrate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalibrateCommand {
    /// The maximum time of a hash while every thread hashes.
    pub target: Duration,
    /// The maximum memory of a hash in bytes. `None`: as much as the memory limit allows.
    pub memory: Option<u64>,
    /// The format of the output.
    pub format: Format,
}

impl CalibrateCommand {
    /// Measures for some seconds, on as many threads as a server hashes on. Reports a fault if no safe hash meets the
    /// target.
    ///
    /// # Errors
    /// Returns [`ConfigError`] if the memory limit is too low.
    pub fn run(&self, config: &CalibrationConfig) -> Result<Report, ConfigError> {
        let max_kib = u32::try_from(self.max_memory(config)? / 1024).unwrap_or(u32::MAX);
        let calibration = calibrate(self.target, max_kib, |parameters| {
            let measured = measure(parameters, config.threads, MEASUREMENT);
            measured
                .unwrap_or_else(|error| unreachable!("the parameters are within the bounds of the settings: {error}"))
        });
        let view = CalibrationView::of(&calibration, self.target, config.threads);
        let text = if self.format == Format::Json { json(&view) } else { view.text(self.target) };
        let fault = format!("no safe hash takes at most {}; printed OWASP's minimum", human(self.target));
        Ok(Report { text, fault: (!view.target_met).then_some(fault) })
    }

    fn max_memory(&self, config: &CalibrationConfig) -> Result<u64, ConfigError> {
        let available = config.memory_bytes.unwrap_or(u64::MAX);
        let required = self.memory.unwrap_or(MIN_MEMORY);
        if available < required {
            let [available, required] = [available, required].map(ByteSize::b);
            let message = format!(
                "{required} for each hashing thread (POSTERN_HASH_THREADS: {}) exceeds the {available} that the memory limit allows",
                config.threads
            );
            return Err(ConfigError { name: "--memory", message });
        }
        Ok(self.memory.unwrap_or(available.min(MAX_MEMORY)))
    }
}

/// Parses the argument `--target`.
///
/// # Errors
/// Returns the expected values.
pub fn parse_target(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(1)..=Duration::from_mins(1);
    let target = humantime::parse_duration(text).ok().filter(|target| range.contains(target));
    target.ok_or_else(|| "expected a duration between 1ms and 1m".to_owned())
}

/// Parses the argument `--memory` into bytes.
///
/// # Errors
/// Returns the expected values.
pub fn parse_memory(text: &str) -> Result<u64, String> {
    let memory = text.parse().ok().map(|size: ByteSize| size.as_u64());
    let memory = memory.filter(|memory| (MIN_MEMORY..=MAX_MEMORY).contains(memory));
    memory.ok_or_else(|| "expected a size between 19MiB (OWASP's minimum) and 4GiB".to_owned())
}

/// The result as JSON.
#[derive(Serialize)]
struct CalibrationView {
    hash_memory: String,
    hash_passes: u32,
    hash_lanes: u32,
    hash_threads: usize,
    hash_ms: f64,
    memory_bytes: u64,
    logins_per_second: f64,
    target_met: bool,
}

impl CalibrationView {
    fn of(calibration: &Calibration, target: Duration, threads: usize) -> Self {
        let Calibration { parameters, measured } = calibration;
        let tenths = |number: f64| (number * 10.0).round() / 10.0;
        Self {
            hash_memory: format!("{}MiB", parameters.memory_kib / 1024),
            hash_passes: parameters.passes,
            hash_lanes: parameters.lanes,
            hash_threads: threads,
            hash_ms: tenths(measured.median.as_secs_f64() * 1e3),
            memory_bytes: u64::from(parameters.memory_kib) * 1024 * (threads as u64),
            logins_per_second: tenths(measured.per_second),
            target_met: calibration.is_within(target),
        }
    }

    /// Returns an environment file: the settings, and the measurements as a comment.
    fn text(&self, target: Duration) -> String {
        let Self { hash_memory, hash_passes, hash_lanes, hash_threads, hash_ms, logins_per_second, .. } = self;
        let (target, memory) = (human(target), ByteSize::b(self.memory_bytes));
        format!(
            "POSTERN_HASH_MEMORY={hash_memory}\nPOSTERN_HASH_PASSES={hash_passes}\nPOSTERN_HASH_LANES={hash_lanes}\n\
             POSTERN_HASH_THREADS={hash_threads}\n\
             # {hash_ms} ms per hash (target: {target}) on {hash_threads} threads, which use {memory} and allow \
             {logins_per_second} logins per second"
        )
    }
}

fn human(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(target_ms: u64, format: Format) -> CalibrateCommand {
        CalibrateCommand { target: Duration::from_millis(target_ms), memory: Some(MIN_MEMORY), format }
    }

    #[test]
    fn unreachable_target_yields_the_minimum_and_a_fault() {
        let config = CalibrationConfig { threads: 1, memory_bytes: None };

        let report = command(1, Format::Json).run(&config).expect("enough memory");

        let view: serde_json::Value = serde_json::from_str(&report.text).expect("JSON");
        assert_eq!((&view["hash_memory"], &view["hash_passes"]), (&"19MiB".into(), &2.into()), "{view}");
        assert_eq!(view["target_met"], false);
        assert!(report.fault.expect("a fault").contains("1ms"));
    }

    #[test]
    fn more_memory_than_available_is_rejected() {
        let config = CalibrationConfig { threads: 4, memory_bytes: Some(MIN_MEMORY - 1) };

        let error = command(250, Format::Text).run(&config).expect_err("too little memory");

        assert!(error.to_string().contains("POSTERN_HASH_THREADS: 4"), "{error}");
    }

    #[test]
    fn arguments_outside_the_safe_range_are_rejected() {
        assert_eq!(parse_target("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_memory("64MiB"), Ok(64 << 20));
        for text in ["0s", "2m", "soon"] {
            assert!(parse_target(text).is_err(), "{text}");
        }
        for text in ["18MiB", "5GiB", "much"] {
            assert!(parse_memory(text).is_err(), "{text}");
        }
    }
}
