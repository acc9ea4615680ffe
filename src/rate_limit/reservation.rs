//! An attempt that has been reserved, until it is known what became of it.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tracing::debug;

use super::{
    error::Throttled,
    limits::{ACCOUNT, ADDRESS, PAIR},
};
use crate::store::{Attempts, Bucket, Limit, Reservation, StoreError, StoreTime, Tag};

/// What became of an attempt, as far as limits go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It did what it was for.
    Succeeded,
    /// It did not: it stands.
    Failed,
    /// It has not come to an end: nobody has learnt anything by it.
    NotMade,
}

/// An attempt that may be made. It counts as one that has not been made until it is settled.
pub struct Admission {
    attempts: Arc<dyn Attempts>,
    held: Vec<Held>,
    /// What is known from now on where the attempt succeeds.
    device: Option<Tag>,
}

/// What has been reserved in a bucket.
#[derive(Clone, Copy)]
struct Held {
    bucket: Bucket,
    charge: Duration,
    count: u32,
}

impl Admission {
    /// With nothing reserved yet. The device is known from now on where the attempt succeeds.
    pub(super) fn new(attempts: &Arc<dyn Attempts>, device: Option<Tag>) -> Self {
        Self { attempts: Arc::clone(attempts), held: Vec::new(), device }
    }

    /// How many attempts at the account stand, with this one, that have not been given back; `None` where they do not
    /// matter, because the device is known.
    #[must_use]
    pub fn at_account(&self) -> Option<u32> {
        self.held.iter().find(|held| held.bucket.limit.name == ACCOUNT.name).map(|held| held.count)
    }

    /// Reserves in more buckets, in all of them or in none.
    pub(super) async fn hold(
        mut self,
        buckets: &[Bucket],
        time: &StoreTime,
    ) -> Result<Result<Self, Throttled>, StoreError> {
        let reservations = join_all(buckets.iter().map(|bucket| self.attempts.reserve(bucket, time))).await;
        let mut longest: Option<Throttled> = None;
        for (bucket, reservation) in buckets.iter().zip(reservations) {
            match reservation? {
                Reservation::Made { charge, count } => self.held.push(Held { bucket: *bucket, charge, count }),
                Reservation::Refused { wait } if longest.is_none_or(|longest| longest.wait < wait) => {
                    longest = Some(Throttled { limit: bucket.limit.name, wait });
                }
                Reservation::Refused { .. } => {}
            }
        }
        let Some(throttled) = longest else { return Ok(Ok(self)) };
        self.settle(Verdict::NotMade, time).await;
        Ok(Err(throttled))
    }

    /// Lets what has been reserved stand, or gives it back.
    pub async fn settle(mut self, verdict: Verdict, time: &StoreTime) {
        let held = std::mem::take(&mut self.held);
        let settled = match verdict {
            Verdict::Failed => Ok(()),
            Verdict::NotMade => give_back(&self.attempts, &held, time).await,
            Verdict::Succeeded => self.reward(&held, time).await,
        };
        if let Err(error) = settled {
            debug!(%error, "attempts that did not fail could not be given back");
        }
    }

    /// The failures before count no more, but for those from this address at other accounts; and the device is known.
    async fn reward(&self, held: &[Held], time: &StoreTime) -> Result<(), StoreError> {
        let is = |held: &Held, limit: &Limit| held.bucket.limit.name == limit.name;
        let cleared = held.iter().filter(|held| is(held, &ACCOUNT) || is(held, &PAIR));
        let returned: Vec<_> = held.iter().filter(|held| is(held, &ADDRESS)).copied().collect();
        let (cleared, returned, remembered) = tokio::join!(
            join_all(cleared.map(|held| self.attempts.clear(&held.bucket, time))),
            give_back(&self.attempts, &returned, time),
            join_all(self.device.iter().map(|device| self.attempts.remember(device, time))),
        );
        cleared.into_iter().chain(remembered).chain([returned]).collect()
    }
}

impl Drop for Admission {
    /// Whoever asked has gone away before there was an answer.
    fn drop(&mut self) {
        let (held, attempts) = (std::mem::take(&mut self.held), Arc::clone(&self.attempts));
        if let (false, Ok(runtime)) = (held.is_empty(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { give_back(&attempts, &held, &StoreTime::of(Duration::from_secs(1))).await });
        }
    }
}

async fn give_back(attempts: &Arc<dyn Attempts>, held: &[Held], time: &StoreTime) -> Result<(), StoreError> {
    let returned = join_all(held.iter().map(|held| attempts.give_back(&held.bucket, held.charge, time))).await;
    returned.into_iter().collect()
}
