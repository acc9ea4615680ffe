//! A reserved attempt, from its reservation to its outcome.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tracing::debug;

use super::{
    error::RateLimited,
    limits::{ACCOUNT, ACCOUNT_IP, ADDRESS},
    overflow::Counters,
};
use crate::store::{AttemptStore, Bucket, BucketKey, Limit, ReserveOutcome, StoreError, TimeBudget};

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

/// A reserved attempt. Dropping it without [`Reservation::settle`] refunds it.
pub struct Reservation {
    counters: Counters,
    charges: Vec<Charge>,
    /// The device to remember if the attempt succeeds.
    device: Option<BucketKey>,
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
}

impl Reservation {
    /// Creates a reservation without charges. `device` is remembered if the attempt succeeds.
    pub(super) fn new(counters: Counters, device: Option<BucketKey>) -> Self {
        Self { counters, charges: Vec::new(), device }
    }

    /// Returns the failures in a row at the account, this attempt included; `None` if its device is known.
    #[must_use]
    pub fn account_failures(&self) -> Option<u32> {
        self.charges.iter().find(|charge| charge.is_of(&ACCOUNT)).map(|charge| charge.count)
    }

    /// Reserves the attempt in more buckets. If one of them rejects it, refunds all of its charges.
    pub(super) async fn reserve(
        mut self,
        buckets: &[Bucket],
        time: &TimeBudget,
    ) -> Result<Result<Self, RateLimited>, StoreError> {
        let outcomes = join_all(buckets.iter().map(|bucket| self.counters.reserve(bucket, time))).await;
        let (mut longest, mut failed): (Option<RateLimited>, _) = (None, None);
        for (bucket, outcome) in buckets.iter().zip(outcomes) {
            match outcome {
                Ok((ReserveOutcome::Allowed { charge, count }, store)) => {
                    self.charges.push(Charge { store: Arc::clone(store), bucket: *bucket, amount: charge, count });
                }
                Ok((ReserveOutcome::Denied { wait }, _)) if longest.is_none_or(|longest| longest.wait < wait) => {
                    longest = Some(RateLimited { limit: bucket.limit.name, wait });
                }
                Ok((ReserveOutcome::Denied { .. }, _)) => {}
                Ok((ReserveOutcome::Full, _)) => unreachable!("the local attempt store is never full"),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            // Dropped, the reservation refunds the charges of the other buckets.
            return Err(error);
        }
        let Some(rate_limited) = longest else { return Ok(Ok(self)) };
        self.settle(AttemptOutcome::Aborted, time).await;
        Ok(Err(rate_limited))
    }

    /// Keeps the charges of a failed attempt, and refunds or clears the charges of any other.
    pub async fn settle(mut self, outcome: AttemptOutcome, time: &TimeBudget) {
        let charges = std::mem::take(&mut self.charges);
        let settled = match outcome {
            AttemptOutcome::Failed => Ok(()),
            AttemptOutcome::Aborted => refund(&charges, time).await,
            AttemptOutcome::Succeeded => self.release(&charges, time).await,
        };
        if let Err(error) = settled {
            debug!(%error, "failed to refund an attempt");
        }
    }

    /// Clears the failures of the account, refunds the charge of the address and remembers the device. The failures of
    /// the address stay: they may be guesses at other accounts.
    async fn release(&self, charges: &[Charge], time: &TimeBudget) -> Result<(), StoreError> {
        let of_account = charges.iter().filter(|charge| charge.is_of(&ACCOUNT) || charge.is_of(&ACCOUNT_IP));
        let of_address: Vec<_> =
            charges.iter().filter(|charge| ADDRESS.includes(charge.bucket.limit)).cloned().collect();
        let (cleared, refunded, remembered) = tokio::join!(
            join_all(of_account.map(|charge| self.counters.clear(&charge.bucket, time))),
            refund(&of_address, time),
            join_all(self.device.iter().map(|device| self.counters.store.remember(device, time))),
        );
        cleared.into_iter().chain(remembered).chain([refunded]).collect()
    }
}

impl Drop for Reservation {
    /// Refunds the attempt in the background if its request was dropped before [`Reservation::settle`].
    fn drop(&mut self) {
        let charges = std::mem::take(&mut self.charges);
        if let (false, Ok(runtime)) = (charges.is_empty(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { refund(&charges, &TimeBudget::new(Duration::from_secs(1))).await });
        }
    }
}

async fn refund(charges: &[Charge], time: &TimeBudget) -> Result<(), StoreError> {
    let refunds = join_all(charges.iter().map(|charge| charge.store.refund(&charge.bucket, charge.amount, time))).await;
    refunds.into_iter().collect()
}
