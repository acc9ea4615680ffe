//! How often what failed may be tried again: retries that answered every failure would be what keeps a store down that has
//! more to do than it can.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::metrics::RetryCounts;

/// What each call adds, and each retry takes, in tenths of a retry: one in ten calls may be repeated.
const PER_CALL: u32 = 1;
const PER_RETRY: u32 = 10;

/// The most that can be saved up: a connection that breaks takes all calls with it that are under way.
const SAVED: u32 = 100 * PER_RETRY;

/// A budget of retries: 10 % of the calls, and a hundred at once after a time without any (as Finagle's `RetryBudget`,
/// whose default is 20 % and 10 a second).
#[derive(Debug)]
pub struct RetryBudget {
    left: AtomicU32,
    made: AtomicU64,
    refused: AtomicU64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { left: AtomicU32::new(SAVED), made: AtomicU64::new(0), refused: AtomicU64::new(0) }
    }
}

impl RetryBudget {
    /// A call is made for the first time.
    pub fn deposit(&self) {
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            (left < SAVED).then(|| (left + PER_CALL).min(SAVED))
        });
    }

    /// Whether a call may be made once more.
    pub fn withdraw(&self) -> bool {
        let spent = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(PER_RETRY));
        let count = if spent.is_ok() { &self.made } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
        spent.is_ok()
    }

    /// How many have been asked for since the start.
    pub fn counts(&self) -> RetryCounts {
        RetryCounts { made: self.made.load(Ordering::Relaxed), refused: self.refused.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_in_ten_may_be_repeated_once_what_was_saved_is_spent() {
        let budget = RetryBudget::default();
        let saved = (0..1000).filter(|_| budget.withdraw()).count();
        assert_eq!(saved, 100);

        let repeated = (0..1000).filter(|_| {
            budget.deposit();
            budget.withdraw()
        });

        assert_eq!(repeated.count(), 100);
        assert_eq!(budget.counts(), RetryCounts { made: 200, refused: 1800 });
    }

    #[test]
    fn no_more_is_saved_than_a_hundred() {
        let budget = RetryBudget::default();

        (0..10_000).for_each(|_| budget.deposit());

        assert_eq!((0..1000).filter(|_| budget.withdraw()).count(), 100);
    }
}
