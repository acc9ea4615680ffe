//! New passwords: the time of the policy and of the strength estimate.
//!
//! The duration of a check selects a function, so that slower inputs reach new code and are kept.
#![no_main]

use std::{hint::black_box, sync::LazyLock, time::Duration};

use postern::{
    metrics::Metrics,
    model::{Email, Name},
    passwords::{
        HashParameters, Hasher, HasherSettings, MAX_CODE_POINTS, Password, Policy, PolicyViolation, WorkPermit,
    },
};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

/// Five times the limit of a release build, because the counters of the fuzzing engine take time.
const LIMIT: Duration = Duration::from_millis(250);

/// The bounds of the durations that count as different.
const STEPS: usize = 24;

struct Checker {
    runtime: Runtime,
    hasher: Hasher,
    name: Name,
    email: Email,
}

static CHECKER: LazyLock<Checker> = LazyLock::new(|| {
    let parameters = HashParameters { memory_kib: 8, passes: 1, lanes: 1 };
    let settings = HasherSettings { parameters, threads: 1, max_wait: Duration::from_mins(1) };
    let checker = Checker {
        runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
        hasher: Hasher::start(settings, Metrics::new("").hashing).expect("valid parameters"),
        name: "Ada Lovelace".parse().expect("a name"),
        email: "ada@example.org".parse().expect("an address"),
    };
    checker.check("the dictionaries are built once");
    checker
});

impl Checker {
    fn check(&self, text: &str) -> Vec<PolicyViolation> {
        let policy = Policy { min_code_points: 8 };
        let candidate = policy.check(Password::new(text), Some(&self.name), Some(&self.email));
        let accepted = self.runtime.block_on(self.hasher.accept(&WorkPermit::for_command_line(), candidate));
        accepted.expect("an empty queue").err().unwrap_or_default()
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let checker = &*CHECKER;
    let started = cpu_time();
    let violations = checker.check(text);
    let duration = cpu_time().saturating_sub(started);

    let is_too_long = Password::new(text).is_too_long();
    assert_eq!(violations == [PolicyViolation::TooLong(MAX_CODE_POINTS)], is_too_long, "{violations:?}");
    assert!(duration <= LIMIT, "{duration:?}");
    reach(duration);
});

/// Returns the time that the processors have worked for this process: other processes do not add to it.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("a time since the start")
}

/// Reaches code of its own for each duration: one function for each factor of 1.25 from 1 ms on.
fn reach(duration: Duration) {
    let bounds: [fn(); STEPS] = [
        step::<0>, step::<1>, step::<2>, step::<3>, step::<4>, step::<5>, step::<6>, step::<7>, step::<8>, step::<9>,
        step::<10>, step::<11>, step::<12>, step::<13>, step::<14>, step::<15>, step::<16>, step::<17>, step::<18>,
        step::<19>, step::<20>, step::<21>, step::<22>, step::<23>,
    ];
    let mut bound = Duration::from_millis(1);
    for reached in bounds {
        if duration < bound {
            return;
        }
        reached();
        bound = bound * 5 / 4;
    }
}

#[inline(never)]
fn step<const NUMBER: usize>() {
    black_box(NUMBER);
}
