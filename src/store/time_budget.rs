//! The time limit that the store calls of one request share.

use std::{future::Future, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

use super::error::StoreError;

/// The time that the store calls of one request may take together. It elapses only while a call runs, so waiting for a
/// password hash costs nothing; concurrent calls spend it once.
#[derive(Debug)]
pub struct TimeBudget {
    spending: Mutex<Spending>,
    /// When the request ends, even if time is left.
    deadline: Option<Instant>,
}

#[derive(Debug)]
struct Spending {
    left: Duration,
    calls: u32,
    since: Instant,
}

impl TimeBudget {
    /// Creates an unspent budget.
    #[must_use]
    pub fn new(left: Duration) -> Self {
        Self { spending: Mutex::new(Spending { left, calls: 0, since: Instant::now() }), deadline: None }
    }

    /// Limits the budget to the deadline of its request.
    #[must_use]
    pub fn with_deadline(self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Runs a call to a store, and drops it when the time is used up.
    ///
    /// # Errors
    /// Returns the error of the call, or [`StoreError::Unavailable`] if the time is used up.
    pub async fn limit<T>(
        &self,
        store: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let spending = self.start();
        // Without this check a fast store could still respond: a timer may fire a millisecond late.
        let is_used_up = spending.deadline <= Instant::now();
        let outcome = if is_used_up { None } else { timeout_at(spending.deadline, call).await.ok() };
        outcome.unwrap_or_else(|| Err(StoreError::unavailable(store, "no response in time")))
    }

    /// Runs work that has its own limit, and counts its time.
    pub async fn counted<T>(&self, work: impl Future<Output = T>) -> T {
        let _running = self.start();
        work.await
    }

    /// Runs work that does not spend the budget for at most half of the time until the deadline of the request, if it has one.
    ///
    /// # Errors
    /// Returns [`StoreError::Unavailable`] with this name if the work takes longer.
    pub async fn limit_to_half<T>(&self, name: &'static str, work: impl Future<Output = T>) -> Result<T, StoreError> {
        let Some(deadline) = self.deadline else { return Ok(work.await) };
        let half = deadline.saturating_duration_since(Instant::now()) / 2;
        timeout_at(Instant::now() + half, work).await.map_err(|_| StoreError::unavailable(name, "no response in time"))
    }

    /// Returns a new budget with a quarter of the time left, for an optional call.
    #[must_use]
    pub fn quarter(&self) -> Self {
        Self::new(self.left() / 4)
    }

    /// Returns the time left.
    #[must_use]
    pub fn left(&self) -> Duration {
        let spending = self.lock();
        let spent = if spending.calls == 0 { Duration::ZERO } else { spending.since.elapsed() };
        let left = spending.left.saturating_sub(spent);
        self.deadline.map_or(left, |deadline| left.min(deadline.saturating_duration_since(Instant::now())))
    }

    /// Starts a call that observes [`StoreCall::deadline`] itself. The time elapses until the result is dropped.
    pub(super) fn start(&self) -> StoreCall<'_> {
        let mut spending = self.lock();
        if spending.calls == 0 {
            spending.since = Instant::now();
        }
        spending.calls += 1;
        StoreCall { time: self, deadline: spending.since + spending.left }
    }

    fn lock(&self) -> MutexGuard<'_, Spending> {
        self.spending.lock()
    }
}

/// A running call.
pub(super) struct StoreCall<'time> {
    time: &'time TimeBudget,
    deadline: Instant,
}

impl StoreCall<'_> {
    /// Returns when the time is used up.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Drop for StoreCall<'_> {
    fn drop(&mut self) {
        let mut spending = self.time.lock();
        spending.calls -= 1;
        if spending.calls == 0 {
            spending.left = spending.left.saturating_sub(spending.since.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    async fn takes(seconds: u64) -> Result<(), StoreError> {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn calls_of_a_request_share_their_time() {
        let time = TimeBudget::new(Duration::from_secs(5));

        assert_eq!(time.limit("store", takes(2)).await, Ok(()));
        assert_eq!(time.left(), Duration::from_secs(3));
        assert_eq!(time.limit("store", takes(2)).await, Ok(()));

        let started = Instant::now();
        let last: Result<(), _> = time.limit("store", pending()).await;
        assert_eq!(last, Err(StoreError::unavailable("store", "no response in time")));
        assert_eq!(started.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn time_left_ends_at_the_deadline_of_the_request() {
        let time = TimeBudget::new(Duration::from_secs(5)).with_deadline(Instant::now() + Duration::from_secs(7));

        assert_eq!(time.left(), Duration::from_secs(5));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(time.left(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_after_half_of_the_time_of_the_request() {
        let time = TimeBudget::new(Duration::from_secs(5)).with_deadline(Instant::now() + Duration::from_secs(10));
        let started = Instant::now();

        assert_eq!(time.limit_to_half("queue", async { 1 }).await, Ok(1));
        assert!(time.limit_to_half("queue", pending::<()>()).await.is_err());

        assert_eq!(started.elapsed().as_secs(), 5);
        assert_eq!(time.left(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn time_between_calls_costs_nothing() {
        let time = TimeBudget::new(Duration::from_secs(5));

        assert_eq!(time.limit("store", takes(2)).await, Ok(()));
        tokio::time::advance(Duration::from_mins(1)).await;

        let started = Instant::now();
        assert!(time.limit("store", pending::<Result<(), _>>()).await.is_err());
        assert_eq!(started.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_calls_spend_the_time_once() {
        let time = TimeBudget::new(Duration::from_secs(5));
        let two_seconds = || async {
            tokio::time::timeout(Duration::from_secs(2), pending::<()>()).await.unwrap_err();
            Ok(())
        };

        let (left, right) = tokio::join!(time.limit("a", two_seconds()), time.limit("b", two_seconds()));
        assert_eq!((left, right), (Ok(()), Ok(())));

        let started = Instant::now();
        assert!(time.limit("store", pending::<Result<(), _>>()).await.is_err());
        assert_eq!(started.elapsed().as_secs(), 3);
    }
}
