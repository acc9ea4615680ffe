//! The budget, and the shares of it that connections and requests hold.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Duration};

use super::ledger::{BodyId, BudgetExceeded, Ledger, Payer, REJECTION_BYTES};
use crate::metrics::{MemoryUse, RequestMemoryMetrics};

/// The budget of the process for the memory of connections and requests. No call waits.
#[derive(Debug)]
pub struct RequestBudget {
    ledger: Mutex<Ledger>,
    /// [`Ledger::is_tight`], to be read without the lock: every request asks.
    is_tight: AtomicBool,
    metrics: RequestMemoryMetrics,
}

/// More than any machine has; multiples of it are still numbers.
const UNLIMITED: u64 = 1 << 60;

impl RequestBudget {
    /// Creates a budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64, metrics: RequestMemoryMetrics) -> Self {
        metrics.limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
        Self { ledger: Mutex::new(Ledger::new(limit)), is_tight: AtomicBool::new(false), metrics }
    }

    /// Creates a budget that is never used up.
    #[must_use]
    pub fn unlimited(metrics: RequestMemoryMetrics) -> Self {
        Self { ledger: Mutex::new(Ledger::new(UNLIMITED)), is_tight: AtomicBool::new(false), metrics }
    }

    /// Charges a payer, until the share is dropped.
    ///
    /// # Errors
    /// Returns [`BudgetExceeded`] if the budget is used up, or if the payer's network holds too much of it.
    pub fn charge(
        self: &Arc<Self>,
        payer: Payer,
        memory_use: MemoryUse,
        bytes: u64,
    ) -> Result<MemoryShare, BudgetExceeded> {
        self.add(payer, memory_use, bytes)?;
        let (bytes, body) = (AtomicU64::new(bytes), AtomicU64::new(0));
        Ok(MemoryShare { budget: Arc::clone(self), payer, memory_use, bytes, body })
    }

    /// Returns whether more than three quarters of the budget are held.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.is_tight.load(Ordering::Relaxed)
    }

    /// Ends the slowest body of the payer whose bodies hold most, if that body has been incomplete for `age`. Returns
    /// whether there was one.
    pub fn end_slow_body(&self, age: Duration) -> bool {
        let has_ended = self.ledger.lock().end_slow_body(age);
        self.metrics.ended_bodies.inc_by(has_ended.into());
        has_ended
    }

    fn add(&self, payer: Payer, memory_use: MemoryUse, bytes: u64) -> Result<(), BudgetExceeded> {
        let (ended, outcome) = {
            let mut ledger = self.ledger.lock();
            let charged = ledger.charge(payer, bytes);
            self.record(&ledger);
            charged
        };
        self.metrics.ended_bodies.inc_by(ended);
        outcome.inspect_err(|_| self.metrics.count_rejection(memory_use))
    }

    fn record(&self, ledger: &Ledger) {
        self.metrics.held.set(i64::try_from(ledger.held()).unwrap_or(i64::MAX));
        self.is_tight.store(ledger.is_tight(), Ordering::Relaxed);
    }
}

/// What a connection or a request holds; given back on drop.
#[derive(Debug)]
pub struct MemoryShare {
    budget: Arc<RequestBudget>,
    payer: Payer,
    memory_use: MemoryUse,
    bytes: AtomicU64,
    /// Its incomplete body, or 0.
    body: AtomicU64,
}

impl MemoryShare {
    /// Charges more.
    ///
    /// # Errors
    /// As [`RequestBudget::charge`].
    pub fn grow(&self, bytes: u64) -> Result<(), BudgetExceeded> {
        self.budget.add(self.payer, self.memory_use, bytes)?;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        match self.body.load(Ordering::Relaxed) {
            0 => {}
            body => self.budget.ledger.lock().grow_body(self.payer, body, bytes),
        }
        Ok(())
    }

    /// Charges more for a large response. A request of the operations listener may not exceed the limit for it: the reserve of
    /// that listener is for probes.
    ///
    /// # Errors
    /// Returns [`BudgetExceeded`] like [`Self::grow`].
    pub fn grow_for_response(&self, bytes: u64) -> Result<(), BudgetExceeded> {
        if matches!(self.payer, Payer::Operations(_)) && self.budget.ledger.lock().would_exceed_limit(bytes) {
            self.budget.metrics.count_rejection(self.memory_use);
            return Err(BudgetExceeded);
        }
        self.grow(bytes)
    }

    /// Gives back all but what the response takes, when the request has ended for lack of memory: the head and the body are
    /// gone, but the client decides when it reads the response.
    pub fn shrink_to_rejection(&self) {
        let held = self.bytes.load(Ordering::Relaxed);
        self.shrink(held.saturating_sub(REJECTION_BYTES));
    }

    /// Gives back `bytes` of what is held.
    pub fn shrink(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.release(bytes);
    }

    fn release(&self, bytes: u64) {
        let mut ledger = self.budget.ledger.lock();
        ledger.release(self.payer, bytes);
        self.budget.record(&ledger);
    }

    /// Records that the body of the request is incomplete, until the result is dropped.
    #[must_use]
    pub fn incomplete_body(&self) -> IncompleteBody<'_> {
        let end = Arc::new(Notify::new());
        let bytes = self.bytes.load(Ordering::Relaxed);
        let id = self.budget.ledger.lock().add_body(self.payer, bytes, Arc::clone(&end));
        self.body.store(id, Ordering::Relaxed);
        IncompleteBody { share: self, id, end }
    }

    /// Returns the payer.
    #[must_use]
    pub fn payer(&self) -> Payer {
        self.payer
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.release(self.bytes.load(Ordering::Relaxed));
    }
}

/// A body that is incomplete. It must end when [`Self::ended`] returns.
#[derive(Debug)]
pub struct IncompleteBody<'share> {
    share: &'share MemoryShare,
    id: BodyId,
    end: Arc<Notify>,
}

impl IncompleteBody<'_> {
    /// Waits until the body must end, because its memory is needed.
    pub async fn ended(&self) {
        self.end.notified().await;
    }
}

impl Drop for IncompleteBody<'_> {
    fn drop(&mut self) {
        self.share.body.store(0, Ordering::Relaxed);
        self.share.budget.ledger.lock().remove_body(self.share.payer, self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use futures_util::FutureExt as _;

    use super::*;
    use crate::metrics::Metrics;

    const LIMIT: u64 = 1 << 20;

    fn budget() -> Arc<RequestBudget> {
        Arc::new(RequestBudget::new(LIMIT, Metrics::new("").request_memory))
    }

    fn client(number: u8) -> Payer {
        Payer::Client(IpAddr::from(Ipv4Addr::new(192, 0, 2, number)).into())
    }

    #[test]
    fn shares_are_given_back_on_drop() {
        let budget = budget();
        let connection = budget.charge(client(1), MemoryUse::Connection, 1000).expect("it fits");
        let request = budget.charge(client(1), MemoryUse::Request, 500).expect("it fits");
        request.grow(500).expect("it fits");
        let body = request.incomplete_body();
        assert_eq!(budget.metrics.held.get(), 2000);

        drop(body);
        drop((connection, request));

        assert_eq!(budget.metrics.held.get(), 0);
        assert_eq!(budget.ledger.lock().held(), 0);
    }

    #[test]
    fn ended_body_is_notified_and_counted() {
        let budget = budget();
        let slow = budget.charge(client(1), MemoryUse::Request, LIMIT / 4 * 3).expect("it fits");
        let body = slow.incomplete_body();
        assert!(body.ended().now_or_never().is_none());

        let newcomer = budget.charge(client(2), MemoryUse::Request, LIMIT / 4);

        assert!(newcomer.is_ok());
        assert!(body.ended().now_or_never().is_some());
        assert_eq!(budget.metrics.ended_bodies.get(), 1);
    }

    #[test]
    fn rejected_request_holds_only_its_response() {
        let budget = budget();
        let share = budget.charge(client(1), MemoryUse::Request, LIMIT / 2).expect("it fits");

        for _ in 0..2 {
            share.shrink_to_rejection();
            assert_eq!(budget.ledger.lock().held(), REJECTION_BYTES);
        }

        drop(share);
        assert_eq!(budget.metrics.held.get(), 0);
    }

    #[test]
    fn large_response_leaves_the_reserve_to_probes() {
        let budget = budget();
        let network = IpAddr::from(Ipv4Addr::LOCALHOST).into();
        let operations = |bytes| budget.charge(Payer::Operations(network), MemoryUse::Request, bytes);
        let page = operations(LIMIT / 2).expect("it fits");

        assert_eq!(page.grow_for_response(LIMIT / 2 + 1), Err(BudgetExceeded));
        assert_eq!(page.grow_for_response(LIMIT / 2), Ok(()));

        assert!(operations(LIMIT / 16).is_ok());
    }

    #[test]
    fn rejected_charge_takes_nothing() {
        let budget = budget();
        let share = budget.charge(client(1), MemoryUse::Request, LIMIT / 2).expect("it fits");

        assert_eq!(share.grow(LIMIT), Err(BudgetExceeded));
        assert!(budget.charge(client(2), MemoryUse::Connection, LIMIT).is_err());

        assert_eq!(budget.metrics.held.get(), i64::try_from(LIMIT / 2).expect("small"));
    }
}
