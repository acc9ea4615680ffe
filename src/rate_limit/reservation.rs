//! A reserved attempt, from its reservation to its outcome.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tracing::debug;

use super::{
    error::RateLimited,
    limits::{ACCOUNT, ACCOUNT_IP, ACCOUNT_SESSION, ADDRESS, FAILURES_IN_A_ROW},
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

/// A reserved attempt. A task settles it, which outlives the request. If a reservation is dropped without
/// [`Reservation::settle`], its work decides: a comparison that did not match counts, and an attempt without one is
/// refunded, unless [`Reservation::keep`] was called.
pub struct Reservation {
    /// `None` after the attempt has been settled, or if the limits are off.
    reserved: Option<Reserved>,
    permit: Option<WorkPermit>,
    is_kept: bool,
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

    fn is_of_account(&self) -> bool {
        [&ACCOUNT, &ACCOUNT_IP, &ACCOUNT_SESSION].into_iter().any(|limit| self.is_of(limit))
    }
}

impl Reservation {
    /// Creates a reservation without charges for a client. `device` is remembered if the attempt succeeds.
    pub(super) fn new(counters: Counters, client: IpAddr, device: Option<Device>) -> Self {
        let reserved = Reserved { counters, charges: Vec::new(), device };
        Self { reserved: Some(reserved), permit: Some(WorkPermit::for_client(client)), is_kept: false }
    }

    /// Creates a reservation that counts nowhere.
    pub(super) fn unlimited(client: IpAddr) -> Self {
        Self { reserved: None, permit: Some(WorkPermit::for_client(client)), is_kept: false }
    }

    /// Returns the permit for the work of the attempt.
    pub fn permit(&self) -> &WorkPermit {
        self.permit.as_ref().unwrap_or_else(|| unreachable!("only settling and dropping take the permit"))
    }

    /// Makes the attempt count if it is dropped without [`Reservation::settle`].
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Returns whether the attempt is the hundredth in a row, or a multiple of that, in a bucket of its account.
    #[must_use]
    pub fn is_streak(&self) -> bool {
        let of_account = self.charges().iter().filter(|charge| charge.is_of_account());
        of_account.into_iter().any(|charge| charge.count % FAILURES_IN_A_ROW == 0)
    }

    fn charges(&self) -> &[Charge] {
        self.reserved.as_ref().map(|reserved| reserved.charges.as_slice()).unwrap_or_default()
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
        if let Some(reserved) = self.reserved.take() {
            reserved.settle(AttemptOutcome::Aborted).await;
        }
        Ok(Err(rate_limited))
    }

    /// Keeps the charges of a failed attempt, and refunds or clears the charges of any other.
    pub async fn settle(mut self, outcome: AttemptOutcome, time: &TimeBudget) {
        if let Some(reserved) = self.reserved.take()
            && outcome != AttemptOutcome::Failed
        {
            let settling = tokio::spawn(reserved.settle(outcome));
            // If the time is used up, the task continues without the request.
            let _ = time.limit("attempt store", async { Ok(settling.await) }).await;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let (Some(reserved), Some(permit), false, Ok(runtime)) =
            (self.reserved.take(), self.permit.take(), self.is_kept, Handle::try_current())
            && !reserved.charges.is_empty()
        {
            runtime.spawn(async move {
                if permit.revoke().await.comparison != Some(false) {
                    reserved.settle(AttemptOutcome::Aborted).await;
                }
            });
        }
    }
}

impl Reserved {
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
        let of_address: Vec<_> =
            self.charges.iter().filter(|charge| ADDRESS.includes(charge.bucket.limit)).cloned().collect();
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
