//! Measures hash parameters on this machine, with as many hashes at once as a server computes.

use std::{
    panic::resume_unwind,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use super::{
    argon2id::{HashParameters, PasswordForm, Scratch, new_hash},
    password::Password,
};

/// The cheapest parameters allowed: OWASP's minimum for Argon2id (Password Storage Cheat Sheet). With fewer passes, OWASP
/// requires more memory.
pub const MINIMUM: HashParameters = HashParameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

/// The upper limit of the setting for passes.
const MAX_PASSES: u64 = 100;
/// The search ends at a median between this percentage of the target and the target.
const CLOSE_PERCENT: u32 = 92;
/// The percentage of the target that the search aims at, because measurements vary.
const AIM_PERCENT: u32 = 97;
/// The number of measurements after the one of [`MINIMUM`].
const MAX_ATTEMPTS: usize = 6;

/// The durations of hashes on all threads at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    /// The median duration of a hash.
    pub median: Duration,
    /// Hashes per second of all threads together.
    pub per_second: f64,
}

/// Parameters and their measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// The parameters.
    pub parameters: HashParameters,
    /// The durations of hashes with these parameters.
    pub measured: Measurement,
}

/// Finds the costliest parameters whose median is within the target. Returns [`MINIMUM`] if even that is too slow.
///
/// The procedure is that of RFC 9106, section 4: as much memory as allowed (`max_kib`), then as many passes as the target
/// allows; if it does not allow the minimum number of passes, less memory. There is always one lane, since a thread hashes
/// one password.
pub fn calibrate(
    target: Duration,
    max_kib: u32,
    mut measure: impl FnMut(HashParameters) -> Measurement,
) -> Calibration {
    let mut tried = Calibration { parameters: MINIMUM, measured: measure(MINIMUM) };
    let mut best = tried;
    for _ in 0..MAX_ATTEMPTS {
        let parameters = tried.scaled_to(target, max_kib);
        if parameters == tried.parameters {
            break;
        }
        tried = Calibration { parameters, measured: measure(parameters) };
        if tried.is_within(target) && tried.cost() > best.cost() {
            best = tried;
        }
        if tried.is_within(target) && tried.measured.median >= target * CLOSE_PERCENT / 100 {
            break;
        }
    }
    best
}

impl Calibration {
    /// Returns whether the median is within the target.
    #[must_use]
    pub fn is_within(&self, target: Duration) -> bool {
        self.measured.median <= target
    }

    /// Returns memory × passes, to which the duration of a hash is nearly proportional.
    fn cost(&self) -> u64 {
        u64::from(self.parameters.memory_kib) * u64::from(self.parameters.passes)
    }

    /// Returns parameters whose expected duration is the target.
    fn scaled_to(&self, target: Duration, max_kib: u32) -> HashParameters {
        let aim = target * AIM_PERCENT / 100;
        let scaled = u128::from(self.cost()) * aim.as_nanos() / self.measured.median.as_nanos().max(1);
        let cost = u64::try_from(scaled).unwrap_or(u64::MAX);
        let memory_kib = whole_mebibytes((cost / u64::from(MINIMUM.passes)).min(max_kib.into()));
        let memory_kib = memory_kib.max(MINIMUM.memory_kib);
        let passes = (cost / u64::from(memory_kib)).clamp(MINIMUM.passes.into(), MAX_PASSES);
        HashParameters { memory_kib, passes: u32::try_from(passes).unwrap_or(MINIMUM.passes), lanes: MINIMUM.lanes }
    }
}

fn whole_mebibytes(kibibytes: u64) -> u32 {
    u32::try_from(kibibytes / 1024 * 1024).unwrap_or(u32::MAX)
}

/// Measures hashes on this number of threads at once, each with reused memory: at least three hashes on each thread, and for
/// at least `min_duration`.
///
/// # Errors
/// Returns the reason if the parameters are out of Argon2's range.
///
/// # Panics
/// Panics if the number of threads is 0.
pub fn measure(parameters: HashParameters, threads: usize, min_duration: Duration) -> Result<Measurement, String> {
    let (params, password) = (parameters.params()?, &Password::new("correct horse battery staple"));
    let start = &Barrier::new(threads);
    let hash_on_this_thread = || {
        let mut scratch = Scratch::new(&params);
        let mut hash = || drop(new_hash(password, PasswordForm::AsTyped, params.clone(), &mut scratch));
        // The first hash also allocates the memory, so it is not measured.
        hash();
        start.wait();
        let (start, mut hashes, mut times) = (Instant::now(), 0, Vec::new());
        while hashes < 3 || start.elapsed() < min_duration {
            let started = Instant::now();
            hash();
            times.push(started.elapsed());
            hashes += 1;
        }
        (times, f64::from(hashes) / start.elapsed().as_secs_f64())
    };
    let measured: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(hash_on_this_thread)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let mut times: Vec<_> = measured.iter().flat_map(|(times, _)| times).copied().collect();
    times.sort_unstable();
    let per_second = measured.iter().map(|(_, per_second)| per_second).sum();
    Ok(Measurement { median: times[times.len() / 2], per_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u32 = 1024;

    /// Simulates a machine that takes this many nanoseconds for each KiB of each pass.
    fn machine(nanoseconds: u64) -> impl FnMut(HashParameters) -> Measurement {
        move |parameters| {
            let cost = u64::from(parameters.memory_kib) * u64::from(parameters.passes);
            Measurement { median: Duration::from_nanos(nanoseconds * cost), per_second: 1.0 }
        }
    }

    fn calibrated(target_ms: u64, max_kib: u32) -> HashParameters {
        calibrate(Duration::from_millis(target_ms), max_kib, machine(500)).parameters
    }

    #[test]
    fn memory_is_raised_before_passes() {
        assert_eq!(calibrated(250, 4096 * MIB), HashParameters { memory_kib: 236 * MIB, passes: 2, lanes: 1 });
        assert_eq!(calibrated(250, 64 * MIB), HashParameters { memory_kib: 64 * MIB, passes: 7, lanes: 1 });
        assert_eq!(calibrated(60_000, 19 * MIB), HashParameters { memory_kib: 19 * MIB, passes: 100, lanes: 1 });
    }

    #[test]
    fn result_is_never_below_the_minimum() {
        assert_eq!(calibrated(1, 4096 * MIB), MINIMUM);

        let calibration = calibrate(Duration::from_millis(1), 4096 * MIB, machine(500));
        assert!(!calibration.is_within(Duration::from_millis(1)));
    }

    #[test]
    fn target_is_met_although_memory_beyond_the_cache_is_slower() {
        let target = Duration::from_millis(250);
        let slow_beyond_cache = |parameters: HashParameters| {
            let measured = machine(if parameters.memory_kib > 32 * MIB { 900 } else { 300 })(parameters);
            Measurement { per_second: 1.0, ..measured }
        };

        let calibration = calibrate(target, 4096 * MIB, slow_beyond_cache);

        assert!(calibration.is_within(target), "{calibration:?}");
        assert!(calibration.measured.median > target * 9 / 10, "{calibration:?}");
    }

    #[test]
    fn hashes_are_measured_on_all_threads_at_once() {
        let cheap = HashParameters { memory_kib: 8, passes: 1, lanes: 1 };

        let measured = measure(cheap, 3, Duration::ZERO).expect("valid parameters");

        assert!(measured.median > Duration::ZERO && measured.per_second > 0.0, "{measured:?}");
    }
}
