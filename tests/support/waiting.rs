//! Waits that end, and what a machine may lack.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use super::{is_set, try_variable};

/// The time between two looks at a condition.
const INTERVAL: Duration = Duration::from_millis(10);

/// Waits until the condition holds.
///
/// # Panics
/// After the timeout, with a message that names what was awaited.
pub async fn eventually(timeout: Duration, awaited: &str, mut condition: impl AsyncFnMut() -> bool) {
    eventually_some(timeout, awaited, async || condition().await.then_some(())).await;
}

/// Waits until there is a value, and returns it.
///
/// # Panics
/// After the timeout, with a message that names what was awaited.
pub async fn eventually_some<T>(timeout: Duration, awaited: &str, mut find: impl AsyncFnMut() -> Option<T>) -> T {
    let finding = async {
        loop {
            if let Some(value) = find().await {
                return value;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    within(timeout, awaited, finding).await
}

/// Waits until the condition holds, in a test without a runtime.
///
/// # Panics
/// After the timeout, with a message that names what was awaited.
#[track_caller]
pub fn eventually_blocking(timeout: Duration, awaited: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + timeout;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {timeout:?}: {awaited}");
        std::thread::park_timeout(INTERVAL);
    }
}

/// Returns the output of a future.
///
/// # Panics
/// After the timeout, with a message that names what was awaited.
pub async fn within<T>(timeout: Duration, awaited: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(timeout, future).await;
    outcome.unwrap_or_else(|_elapsed| panic!("not within {timeout:?}: {awaited}"))
}

/// Reports that a test, or a part of it, is skipped because this machine lacks something.
///
/// The report goes to standard error past the test harness, which would drop the output of a test that passes.
///
/// # Panics
/// In CI (`CI` is set), unless `scripts/test` has listed `what` among the things that do not run.
#[track_caller]
pub fn missing(what: &str, why: &str) {
    let is_listed = try_variable("POSTERN_TEST_WITHOUT").is_some_and(|list| list.split(' ').any(|item| item == what));
    assert!(is_listed || !is_set("CI"), "{what}: {why}; in CI, what is skipped must be listed by scripts/test");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}: {why}");
}
