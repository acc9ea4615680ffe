//! A limit on retries: if every failed call were retried, the retries would keep an overloaded store down.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::metrics::RetryCounts;

/// The deposit of each call and the cost of each retry, in tenths of a retry: one call in ten may be retried.
const DEPOSIT_PER_CALL: u32 = 1;
const COST_PER_RETRY: u32 = 10;

/// The maximum balance, which allows 100 retries at once: a broken connection fails all calls that are in flight.
const MAX_BALANCE: u32 = 100 * COST_PER_RETRY;

/// A retry budget: 10 % of the calls, plus up to 100 retries in reserve (compare Finagle's `RetryBudget`, whose default
/// is 20 % and 10 per second).
#[derive(Debug)]
pub(super) struct RetryBudget {
    balance: AtomicU32,
    allowed: AtomicU64,
    denied: AtomicU64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { balance: AtomicU32::new(MAX_BALANCE), allowed: AtomicU64::new(0), denied: AtomicU64::new(0) }
    }
}

impl RetryBudget {
    /// Adds the deposit of a call that is not a retry.
    pub(super) fn deposit(&self) {
        let _ = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| {
            (balance < MAX_BALANCE).then(|| (balance + DEPOSIT_PER_CALL).min(MAX_BALANCE))
        });
    }

    /// Takes the cost of a retry. Returns whether the balance covers it.
    pub(super) fn withdraw(&self) -> bool {
        let withdrawn = self
            .balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| balance.checked_sub(COST_PER_RETRY));
        let count = if withdrawn.is_ok() { &self.allowed } else { &self.denied };
        count.fetch_add(1, Ordering::Relaxed);
        withdrawn.is_ok()
    }

    /// Returns the numbers of retries since the start.
    pub(super) fn counts(&self) -> RetryCounts {
        RetryCounts { allowed: self.allowed.load(Ordering::Relaxed), denied: self.denied.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_in_ten_may_be_retried_after_the_reserve_is_spent() {
        let budget = RetryBudget::default();
        let reserve = (0..1000).filter(|_| budget.withdraw()).count();
        assert_eq!(reserve, 100);

        let retried = (0..1000).filter(|_| {
            budget.deposit();
            budget.withdraw()
        });

        assert_eq!(retried.count(), 100);
        assert_eq!(budget.counts(), RetryCounts { allowed: 200, denied: 1800 });
    }

    #[test]
    fn reserve_is_at_most_100_retries() {
        let budget = RetryBudget::default();

        (0..10_000).for_each(|_| budget.deposit());

        assert_eq!((0..1000).filter(|_| budget.withdraw()).count(), 100);
    }
}
