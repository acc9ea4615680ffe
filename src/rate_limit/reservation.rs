//! A reserved attempt, from its reservation to its outcome.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tracing::debug;

use super::{
    error::RateLimited,
    limits::{ACCOUNT, ACCOUNT_IP, ACCOUNT_SESSION, ADDRESS, FAILURES_IN_A_ROW, IMPORTED_HASHES},
    overflow::Counters,
};
use crate::{
    passwords::WorkPermit,
    store::{AttemptStore, Bucket, Device, Limit, ReserveOutcome, StoreError, TimeBudget},
};

/// The limit on settling an attempt. If the store does not respond in that time, the attempt stays counted.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The login or sign-up succeeded.
    Succeeded,
    /// It was rejected in a way that lets the client learn about an account: the attempt counts.
    Failed,
    /// It ended without such a response, for example because a store failed: the attempt does not count.
    Aborted,
}

/// Runs if the attempt fails. The argument is whether the failure is the hundredth in a row, or a multiple of that, in a
/// bucket of its account.
type FailureHook = Box<dyn FnOnce(bool) + Send>;

/// A reserved attempt. A task settles it, which outlives the request. If a reservation is dropped without
/// [`Reservation::settle`], its work decides: a comparison that did not match counts as failed, and an attempt without one
/// is refunded.
pub struct Reservation {
    /// `None` after the attempt has been settled, or if the limits are off.
    reserved: Option<Reserved>,
    permit: Option<WorkPermit>,
    /// Whether a dropped attempt counts as soon as any work has started.
    counts_once_started: bool,
    on_failure: Mutex<Option<FailureHook>>,
}

/// The charges of an attempt and their stores.
struct Reserved {
    counters: Counters,
    charges: Vec<Charge>,
    /// The device to remember if the attempt succeeds.
    device: Option<Device>,
}

/// The charge of an attempt in one bucket.
#[derive(Clone)]
struct Charge {
    /// The store that has the bucket.
    store: Arc<dyn AttemptStore>,
    bucket: Bucket,
    amount: Duration,
    /// The attempts in the bucket that have not been refunded, this one included.
    count: u32,
}

impl Charge {
    fn is_of(&self, limit: &Limit) -> bool {
        self.bucket.limit.name == limit.name
    }

    fn is_of_address(&self) -> bool {
        ADDRESS.includes(self.bucket.limit) || IMPORTED_HASHES[0].includes(self.bucket.limit)
    }

    fn is_of_account(&self) -> bool {
        [&ACCOUNT, &ACCOUNT_IP, &ACCOUNT_SESSION].into_iter().any(|limit| self.is_of(limit))
    }
}

impl Reservation {
    /// Creates a reservation without charges for a client. `device` is remembered if the attempt succeeds.
    pub(super) fn new(counters: Counters, client: IpAddr, device: Option<Device>) -> Self {
        Self::create(Some(Reserved { counters, charges: Vec::new(), device }), client)
    }

    /// Creates a reservation that counts nowhere.
    pub(super) fn unlimited(client: IpAddr) -> Self {
        Self::create(None, client)
    }

    fn create(reserved: Option<Reserved>, client: IpAddr) -> Self {
        let permit = Some(WorkPermit::for_client(client));
        Self { reserved, permit, counts_once_started: false, on_failure: Mutex::default() }
    }

    /// Makes the attempt count if it is dropped after any of its work has started.
    pub(super) fn that_counts_once_started(mut self) -> Self {
        self.counts_once_started = true;
        self
    }

    /// Sets what runs if the attempt fails, even if its request has been dropped by then.
    pub fn on_failure(&self, hook: impl FnOnce(bool) + Send + 'static) {
        *self.on_failure.lock() = Some(Box::new(hook));
    }

    /// Returns the permit for the work of the attempt.
    pub fn permit(&self) -> &WorkPermit {
        self.permit.as_ref().unwrap_or_else(|| unreachable!("only settling and dropping take the permit"))
    }

    /// Returns whether the attempt counts against its address.
    pub fn counts_against_address(&self) -> bool {
        self.reserved.as_ref().is_some_and(|reserved| reserved.charges.iter().any(Charge::is_of_address))
    }

    /// Adds the charges of another reservation, which are settled with those of this one.
    pub fn absorb(&mut self, mut other: Self) {
        if let (Some(reserved), Some(others)) = (&mut self.reserved, other.reserved.take()) {
            reserved.charges.extend(others.charges);
        }
    }

    /// Keeps the charges of the address, whatever the outcome of the attempt.
    pub fn keep_address_charges(&mut self) {
        if let Some(reserved) = &mut self.reserved {
            reserved.charges.retain(|charge| !charge.is_of_address());
        }
    }

    /// Reserves the attempt in more buckets. If one of them rejects it, refunds all of its charges.
    pub(super) async fn reserve(
        mut self,
        buckets: &[Bucket],
        time: &TimeBudget,
    ) -> Result<Result<Self, RateLimited>, StoreError> {
        let Some(reserved) = &mut self.reserved else { return Ok(Ok(self)) };
        let outcomes = join_all(buckets.iter().map(|bucket| reserved.counters.reserve(bucket, time))).await;
        let (mut longest, mut failed): (Option<RateLimited>, _) = (None, None);
        for (bucket, outcome) in buckets.iter().zip(outcomes) {
            match outcome {
                Ok((ReserveOutcome::Allowed { charge, count }, store)) => {
                    reserved.charges.push(Charge { store: Arc::clone(store), bucket: *bucket, amount: charge, count });
                }
                Ok((ReserveOutcome::Denied { wait }, _)) if longest.is_none_or(|longest| longest.wait < wait) => {
                    longest = Some(RateLimited { limit: bucket.limit.name, wait });
                }
                Ok((ReserveOutcome::Denied { .. }, _)) => {}
                Ok((ReserveOutcome::Full, _)) => unreachable!("the local attempt store is never full"),
                Err(error) => failed = Some(error),
            }
        }
        // Dropped, the reservation refunds the charges of the other buckets.
        if let Some(error) = failed {
            return Err(error);
        }
        let Some(rate_limited) = longest else { return Ok(Ok(self)) };
        // Refunded first: the next attempt must not meet these charges.
        self.settle(AttemptOutcome::Aborted, time).await;
        Ok(Err(rate_limited))
    }

    /// Keeps the charges, regardless of what becomes of the request.
    pub fn keep(mut self) {
        drop(self.reserved.take());
    }

    /// Keeps the charges of a failed attempt, and refunds or clears the charges of any other.
    pub async fn settle(mut self, outcome: AttemptOutcome, time: &TimeBudget) {
        let (reserved, hook) = (self.reserved.take(), self.on_failure.get_mut().take());
        if outcome == AttemptOutcome::Failed {
            run_hook(hook, reserved.as_ref());
        } else if let Some(reserved) = reserved {
            let settling = tokio::spawn(reserved.settle(outcome));
            // If the time is used up, the task continues without the request.
            let _ = time.limit("attempt store", async { Ok(settling.await) }).await;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let (reserved, hook) = (self.reserved.take(), self.on_failure.get_mut().take());
        let counts_once_started = self.counts_once_started;
        if let (Some(permit), Ok(runtime)) = (self.permit.take(), Handle::try_current())
            && (reserved.is_some() || hook.is_some())
        {
            runtime.spawn(async move {
                let progress = permit.revoke().await;
                if progress.comparison == Some(false) {
                    run_hook(hook, reserved.as_ref());
                } else if let Some(reserved) = reserved
                    && !(counts_once_started && progress.has_started)
                {
                    reserved.settle(AttemptOutcome::Aborted).await;
                }
            });
        }
    }
}

fn run_hook(hook: Option<FailureHook>, reserved: Option<&Reserved>) {
    if let Some(hook) = hook {
        hook(reserved.is_some_and(Reserved::is_streak));
    }
}

impl Reserved {
    fn is_streak(&self) -> bool {
        let mut of_account = self.charges.iter().filter(|charge| charge.is_of_account());
        of_account.any(|charge| charge.count % FAILURES_IN_A_ROW == 0)
    }

    async fn settle(self, outcome: AttemptOutcome) {
        let time = TimeBudget::new(SETTLE_TIMEOUT);
        let settled = match outcome {
            AttemptOutcome::Failed => Ok(()),
            AttemptOutcome::Aborted => refund(&self.charges, &time).await,
            AttemptOutcome::Succeeded => self.release(&time).await,
        };
        if let Err(error) = settled {
            debug!(%error, "failed to refund an attempt");
        }
    }

    /// Clears the failures of the account, refunds the charge of the address and remembers the device. The failures of
    /// the address stay: they may be guesses at other accounts.
    async fn release(&self, time: &TimeBudget) -> Result<(), StoreError> {
        let of_account = self.charges.iter().filter(|charge| charge.is_of_account());
        let of_address: Vec<_> = self.charges.iter().filter(|charge| charge.is_of_address()).cloned().collect();
        let (cleared, refunded, remembered) = tokio::join!(
            join_all(of_account.map(|charge| self.counters.clear(&charge.bucket, time))),
            refund(&of_address, time),
            join_all(self.device.iter().map(|device| self.counters.store.remember(device, time))),
        );
        cleared.into_iter().chain(remembered).chain([refunded]).collect()
    }
}

async fn refund(charges: &[Charge], time: &TimeBudget) -> Result<(), StoreError> {
    let refunds = join_all(charges.iter().map(|charge| charge.store.refund(&charge.bucket, charge.amount, time))).await;
    refunds.into_iter().collect()
}
