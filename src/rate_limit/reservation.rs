//! An attempt that has been reserved, until it is known what became of it.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tracing::debug;

use super::{
    error::RateLimited,
    limits::{ACCOUNT, ACCOUNT_IP, ADDRESS},
};
use crate::store::{AttemptStore, Bucket, BucketKey, Limit, ReserveOutcome, StoreError, TimeBudget};

/// What became of an attempt, as far as limits go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// It did what it was for.
    Succeeded,
    /// It did not: it stands.
    Failed,
    /// It has not come to an end: nobody has learnt anything by it.
    Aborted,
}

/// An attempt that may be made. It counts as one that has not been made until it is settled.
pub struct Reservation {
    attempts: Arc<dyn AttemptStore>,
    charges: Vec<Charge>,
    /// What is known from now on where the attempt succeeds.
    device: Option<BucketKey>,
}

/// What has been reserved in a bucket.
#[derive(Clone, Copy)]
struct Charge {
    bucket: Bucket,
    amount: Duration,
    count: u32,
}

impl Reservation {
    /// With nothing reserved yet. The device is known from now on where the attempt succeeds.
    pub(super) fn new(attempts: &Arc<dyn AttemptStore>, device: Option<BucketKey>) -> Self {
        Self { attempts: Arc::clone(attempts), charges: Vec::new(), device }
    }

    /// How many attempts at the account stand, with this one, that have not been given back; `None` where they do not
    /// matter, because the device is known.
    #[must_use]
    pub fn at_account(&self) -> Option<u32> {
        self.charges.iter().find(|charge| charge.bucket.limit.name == ACCOUNT.name).map(|charge| charge.count)
    }

    /// Reserves in more buckets, in all of them or in none.
    pub(super) async fn reserve(
        mut self,
        buckets: &[Bucket],
        time: &TimeBudget,
    ) -> Result<Result<Self, RateLimited>, StoreError> {
        let reservations = join_all(buckets.iter().map(|bucket| self.attempts.reserve(bucket, time))).await;
        let mut longest: Option<RateLimited> = None;
        for (bucket, reservation) in buckets.iter().zip(reservations) {
            match reservation? {
                ReserveOutcome::Allowed { charge, count } => {
                    self.charges.push(Charge { bucket: *bucket, amount: charge, count });
                }
                ReserveOutcome::Denied { wait } if longest.is_none_or(|longest| longest.wait < wait) => {
                    longest = Some(RateLimited { limit: bucket.limit.name, wait });
                }
                ReserveOutcome::Denied { .. } => {}
            }
        }
        let Some(rate_limited) = longest else { return Ok(Ok(self)) };
        self.settle(AttemptOutcome::Aborted, time).await;
        Ok(Err(rate_limited))
    }

    /// Lets what has been reserved stand, or gives it back.
    pub async fn settle(mut self, outcome: AttemptOutcome, time: &TimeBudget) {
        let charges = std::mem::take(&mut self.charges);
        let settled = match outcome {
            AttemptOutcome::Failed => Ok(()),
            AttemptOutcome::Aborted => refund(&self.attempts, &charges, time).await,
            AttemptOutcome::Succeeded => self.release(&charges, time).await,
        };
        if let Err(error) = settled {
            debug!(%error, "attempts that did not fail could not be given back");
        }
    }

    /// The failures before count no more, but for those from this address at other accounts; and the device is known.
    async fn release(&self, charges: &[Charge], time: &TimeBudget) -> Result<(), StoreError> {
        let is = |charge: &Charge, limit: &Limit| charge.bucket.limit.name == limit.name;
        let cleared = charges.iter().filter(|charge| is(charge, &ACCOUNT) || is(charge, &ACCOUNT_IP));
        let returned: Vec<_> = charges.iter().filter(|charge| is(charge, &ADDRESS)).copied().collect();
        let (cleared, returned, remembered) = tokio::join!(
            join_all(cleared.map(|charge| self.attempts.clear(&charge.bucket, time))),
            refund(&self.attempts, &returned, time),
            join_all(self.device.iter().map(|device| self.attempts.remember(device, time))),
        );
        cleared.into_iter().chain(remembered).chain([returned]).collect()
    }
}

impl Drop for Reservation {
    /// Whoever asked has gone away before there was an answer.
    fn drop(&mut self) {
        let (charges, attempts) = (std::mem::take(&mut self.charges), Arc::clone(&self.attempts));
        if let (false, Ok(runtime)) = (charges.is_empty(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { refund(&attempts, &charges, &TimeBudget::new(Duration::from_secs(1))).await });
        }
    }
}

async fn refund(attempts: &Arc<dyn AttemptStore>, charges: &[Charge], time: &TimeBudget) -> Result<(), StoreError> {
    let returned = join_all(charges.iter().map(|charge| attempts.refund(&charge.bucket, charge.amount, time))).await;
    returned.into_iter().collect()
}
