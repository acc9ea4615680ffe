//! The command that measures what a password hash may cost.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Serialize;

use super::format::{Format, json};
use crate::{
    config::{CalibrationConfig, ConfigError},
    passwords::{Calibration, MINIMUM, calibrate, measure},
};

/// How long each attempt is measured.
const ATTEMPT: Duration = Duration::from_secs(1);
/// The most memory that a hash may have, in bytes: that of the setting.
const MOST_MEMORY: u64 = 4 << 30;
const LEAST_MEMORY: u64 = MINIMUM.memory_kib as u64 * 1024;

/// What is wished for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalibrateCommand {
    /// The longest time that a hash may take, where as many are made at once as there are threads.
    pub target: Duration,
    /// The most memory that a hash may have, in bytes; `None`: as much as there is.
    pub memory: Option<u64>,
    /// How to say it.
    pub format: Format,
}

/// What came of it.
#[derive(Debug)]
pub struct Calibrated {
    /// What to print.
    pub text: String,
    /// Why the target cannot be met, if so.
    pub fault: Option<String>,
}

impl CalibrateCommand {
    /// Measures, for some seconds, with all processors that a server would hash on.
    ///
    /// # Errors
    /// Where there is not that much memory.
    pub fn run(&self, config: &CalibrationConfig) -> Result<Calibrated, ConfigError> {
        let most_kib = u32::try_from(self.most_memory(config)? / 1024).unwrap_or(u32::MAX);
        let calibration = calibrate(self.target, most_kib, |parameters| {
            let measured = measure(parameters, config.threads, ATTEMPT);
            measured.unwrap_or_else(|error| unreachable!("parameters within the range of the settings: {error}"))
        });
        let shown = CalibrationView::of(&calibration, self.target, config.threads);
        let fault =
            format!("no safe hash takes {} or less here: OWASP's minimum has been printed", shown_time(self.target));
        let text = if self.format == Format::Json { json(&shown) } else { shown.text(self.target) };
        Ok(Calibrated { text, fault: (!shown.target_met).then_some(fault) })
    }

    fn most_memory(&self, config: &CalibrationConfig) -> Result<u64, ConfigError> {
        let there_is = config.memory.unwrap_or(u64::MAX);
        let asked_for = self.memory.unwrap_or(LEAST_MEMORY);
        if there_is < asked_for {
            let [there_is, asked_for] = [there_is, asked_for].map(ByteSize::b);
            let message = format!(
                "{asked_for} for each hashing thread (POSTERN_HASH_THREADS: {}) is more than the memory limit leaves, {there_is}",
                config.threads
            );
            return Err(ConfigError { name: "--memory", message });
        }
        Ok(self.memory.unwrap_or(there_is.min(MOST_MEMORY)))
    }
}

/// A target, as it is typed.
///
/// # Errors
/// What would be right.
pub fn target(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(1)..=Duration::from_mins(1);
    let target = humantime::parse_duration(text).ok().filter(|target| range.contains(target));
    target.ok_or_else(|| "right would be a time from 1ms to 1m, as in 250ms".to_owned())
}

/// The most memory of a hash in bytes, as it is typed.
///
/// # Errors
/// What would be right.
pub fn memory(text: &str) -> Result<u64, String> {
    let memory = text.parse().ok().map(|size: ByteSize| size.as_u64());
    let memory = memory.filter(|memory| (LEAST_MEMORY..=MOST_MEMORY).contains(memory));
    memory.ok_or_else(|| "right would be a size from 19MiB (OWASP's minimum) to 4GiB, as in 64MiB".to_owned())
}

/// What was found, as programs see it.
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

    /// An environment file: the settings, and the rest as a comment.
    fn text(&self, target: Duration) -> String {
        let Self { hash_memory, hash_passes, hash_lanes, hash_threads, hash_ms, logins_per_second, .. } = self;
        let (target, memory) = (shown_time(target), ByteSize::b(self.memory_bytes));
        format!(
            "POSTERN_HASH_MEMORY={hash_memory}\nPOSTERN_HASH_PASSES={hash_passes}\nPOSTERN_HASH_LANES={hash_lanes}\n\
             POSTERN_HASH_THREADS={hash_threads}\n\
             # {hash_ms} ms a hash (target: {target}) with {hash_threads} at once, which take {memory} together and allow \
             {logins_per_second} logins a second"
        )
    }
}

fn shown_time(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(target_ms: u64, format: Format) -> CalibrateCommand {
        CalibrateCommand { target: Duration::from_millis(target_ms), memory: Some(LEAST_MEMORY), format }
    }

    #[test]
    fn a_target_that_no_safe_hash_meets_gives_the_least_and_is_told() {
        let config = CalibrationConfig { threads: 1, memory: None };

        let done = task(1, Format::Json).run(&config).expect("enough memory");

        let shown: serde_json::Value = serde_json::from_str(&done.text).expect("JSON");
        assert_eq!((&shown["hash_memory"], &shown["hash_passes"]), (&"19MiB".into(), &2.into()), "{shown}");
        assert_eq!(shown["target_met"], false);
        assert!(done.fault.expect("a fault").contains("1ms"));
    }

    #[test]
    fn more_memory_than_there_is_is_refused() {
        let config = CalibrationConfig { threads: 4, memory: Some(LEAST_MEMORY - 1) };

        let mistake = task(250, Format::Text).run(&config).expect_err("too little memory");

        assert!(mistake.to_string().contains("POSTERN_HASH_THREADS: 4"), "{mistake}");
    }

    #[test]
    fn what_is_typed_is_within_what_is_safe_and_can_be_set() {
        assert_eq!(target("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(memory("64MiB"), Ok(64 << 20));
        for text in ["0s", "2m", "soon"] {
            assert!(target(text).is_err(), "{text}");
        }
        for text in ["18MiB", "5GiB", "much"] {
            assert!(memory(text).is_err(), "{text}");
        }
    }
}
