//! Which parameters take how long here, with as many hashes at once as a server makes.

use std::{
    panic::resume_unwind,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use super::{
    argon2id::{HashParameters, Scratch, new_hash},
    password::Password,
};

/// The least that a hash may cost: OWASP's minimum for Argon2id (Password Storage Cheat Sheet). With fewer passes that page
/// asks for more memory.
pub const MINIMUM: HashParameters = HashParameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

/// The most passes that a setting can ask for.
const MOST_PASSES: u64 = 100;
/// A time that is no longer than the target, and no shorter than this many hundredths of it, is close enough.
const CLOSE_PERCENT: u32 = 92;
/// What is aimed at, in hundredths of the target: one measurement differs from the next.
const AIM_PERCENT: u32 = 97;
/// How many parameters are tried at most, after the least.
const ATTEMPTS: usize = 6;

/// What hashes took that were made on all threads at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    /// Half of the hashes took no longer.
    pub median: Duration,
    /// Hashes a second, of all threads together.
    pub per_second: f64,
}

/// Parameters, and what they cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// The parameters.
    pub parameters: HashParameters,
    /// What hashes with them took.
    pub measured: Measurement,
}

/// Finds the dearest parameters whose hashes take no longer than the target; where even those of [`MINIMUM`] do, these.
///
/// The procedure is that of RFC 9106, section 4: first as much memory as there may be (`most_kib`), then as many passes as
/// the time allows; where it does not allow the least number of passes, less memory. The lanes stay one, since a thread
/// hashes one password, and the passes at least two, as in [`MINIMUM`].
pub fn calibrate(
    target: Duration,
    most_kib: u32,
    mut measure: impl FnMut(HashParameters) -> Measurement,
) -> Calibration {
    let mut tried = Calibration { parameters: MINIMUM, measured: measure(MINIMUM) };
    let mut best = tried;
    for _ in 0..ATTEMPTS {
        let parameters = tried.scaled_to(target, most_kib);
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
    /// Whether its hashes take no longer than the target.
    #[must_use]
    pub fn is_within(&self, target: Duration) -> bool {
        self.measured.median <= target
    }

    /// What the time of a hash is nearly proportional to: memory × passes.
    fn cost(&self) -> u64 {
        u64::from(self.parameters.memory_kib) * u64::from(self.parameters.passes)
    }

    /// Parameters that should take as long as the target.
    fn scaled_to(&self, target: Duration, most_kib: u32) -> HashParameters {
        let aim = target * AIM_PERCENT / 100;
        let scaled = u128::from(self.cost()) * aim.as_nanos() / self.measured.median.as_nanos().max(1);
        let cost = u64::try_from(scaled).unwrap_or(u64::MAX);
        let memory_kib = whole_mebibytes((cost / u64::from(MINIMUM.passes)).min(most_kib.into()));
        let memory_kib = memory_kib.max(MINIMUM.memory_kib);
        let passes = (cost / u64::from(memory_kib)).clamp(MINIMUM.passes.into(), MOST_PASSES);
        HashParameters { memory_kib, passes: u32::try_from(passes).unwrap_or(MINIMUM.passes), lanes: MINIMUM.lanes }
    }
}

fn whole_mebibytes(kibibytes: u64) -> u32 {
    u32::try_from(kibibytes / 1024 * 1024).unwrap_or(u32::MAX)
}

/// Hashes on so many threads at once, each with memory that it reuses, for this long at least and three times at least.
///
/// # Errors
/// Where the parameters are out of Argon2's range.
///
/// # Panics
/// Without a thread.
pub fn measure(parameters: HashParameters, threads: usize, least: Duration) -> Result<Measurement, String> {
    let (params, password) = (parameters.params()?, &Password::new("correct horse battery staple"));
    let start = &Barrier::new(threads);
    let hash_on_this_thread = || {
        let mut memory = Scratch::new(&params);
        let mut hash = || drop(new_hash(password, params.clone(), &mut memory));
        // The first one takes the memory from the system, which no later one does.
        hash();
        start.wait();
        let (start, mut hashes, mut times) = (Instant::now(), 0, Vec::new());
        while hashes < 3 || start.elapsed() < least {
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

    /// A machine that takes this many nanoseconds for each KiB of each pass.
    fn machine(nanoseconds: u64) -> impl FnMut(HashParameters) -> Measurement {
        move |parameters| {
            let cost = u64::from(parameters.memory_kib) * u64::from(parameters.passes);
            Measurement { median: Duration::from_nanos(nanoseconds * cost), per_second: 1.0 }
        }
    }

    fn found(target_ms: u64, most_kib: u32) -> HashParameters {
        calibrate(Duration::from_millis(target_ms), most_kib, machine(500)).parameters
    }

    #[test]
    fn memory_comes_before_passes() {
        assert_eq!(found(250, 4096 * MIB), HashParameters { memory_kib: 236 * MIB, passes: 2, lanes: 1 });
        assert_eq!(found(250, 64 * MIB), HashParameters { memory_kib: 64 * MIB, passes: 7, lanes: 1 });
        assert_eq!(found(60_000, 19 * MIB), HashParameters { memory_kib: 19 * MIB, passes: 100, lanes: 1 });
    }

    #[test]
    fn no_hash_costs_less_than_the_least_whatever_the_target() {
        assert_eq!(found(1, 4096 * MIB), MINIMUM);

        let calibration = calibrate(Duration::from_millis(1), 4096 * MIB, machine(500));
        assert!(!calibration.is_within(Duration::from_millis(1)));
    }

    #[test]
    fn what_is_found_takes_no_longer_than_the_target_where_more_memory_takes_longer_than_its_share() {
        let target = Duration::from_millis(250);
        let beyond_the_cache = |parameters: HashParameters| {
            let measured = machine(if parameters.memory_kib > 32 * MIB { 900 } else { 300 })(parameters);
            Measurement { per_second: 1.0, ..measured }
        };

        let calibration = calibrate(target, 4096 * MIB, beyond_the_cache);

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
