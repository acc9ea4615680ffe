//! The limiter.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tracing::debug;

use super::{
    bucket_keys::Tagger,
    error::Throttled,
    limits::{ACCOUNT, ADDRESS, PAIR, SIGN_UPS},
    queue::{Lines, Place},
    reservation::Admission,
};
use crate::{
    keys::Keys,
    metrics::ThrottleMetrics,
    model::Email,
    store::{Attempts, Bucket, Limit, StoreError, StoreTime, Tag},
};

/// The name that the shared store's time is spent under.
const STORE: &str = "the store of attempts";

/// Limits on attempts that fail.
pub struct Throttle {
    /// Where all servers count; `None` where there is one server.
    shared: Option<Arc<dyn Attempts>>,
    /// Where this server counts while the shared store cannot be reached, or alone.
    local: Arc<dyn Attempts>,
    tagger: Tagger,
    lines: Lines,
    /// The longest time that an attempt may wait for others from the same address at the same account.
    max_wait: Duration,
    metrics: ThrottleMetrics,
}

/// Where attempts are counted.
pub struct AttemptStores {
    /// Where all servers count; `None` where there is one server.
    pub shared: Option<Arc<dyn Attempts>>,
    /// In this process.
    pub local: Arc<dyn Attempts>,
}

/// The account and the address that an attempt is counted by.
#[derive(Clone, Copy)]
pub enum Subject<'attempt> {
    /// A login to an account.
    Account(&'attempt Email, IpAddr),
    /// A login with an email that no account can have.
    Address(IpAddr),
    /// A sign-up.
    SignUp(&'attempt Email, IpAddr),
}

impl Throttle {
    /// Limits that nothing counts against yet. `max_wait` is the longest time that an attempt may wait for others from the
    /// same address at the same account.
    #[must_use]
    pub fn new(stores: AttemptStores, keys: Arc<Keys>, max_wait: Duration, metrics: ThrottleMetrics) -> Self {
        let AttemptStores { shared, local } = stores;
        Self { shared, local, tagger: Tagger::new(keys), lines: Lines::default(), max_wait, metrics }
    }

    /// Goes to the end of the line of an account and an address.
    #[must_use]
    pub fn join(&self, email: &Email, address: IpAddr) -> Place {
        self.lines.join(self.tagger.pair(email, address))
    }

    /// The longest time that an attempt may stand in line.
    #[must_use]
    pub fn max_wait(&self) -> Duration {
        self.max_wait
    }

    /// Reserves an attempt, where all servers count or, while that cannot be reached, here.
    ///
    /// # Errors
    /// If a limit is exceeded.
    pub async fn admit(&self, subject: Subject<'_>, time: &StoreTime) -> Result<Admission, Throttled> {
        let admitted = self.decide(subject, time).await;
        admitted.inspect_err(|throttled| self.metrics.refused(throttled.limit))
    }

    async fn decide(&self, subject: Subject<'_>, time: &StoreTime) -> Result<Admission, Throttled> {
        if let Some(shared) = &self.shared {
            let patience = time.quarter();
            match time.limit(STORE, self.reserve(shared, subject, &patience)).await {
                Ok(decided) => return decided,
                Err(error) => debug!(%error, "attempts are counted by this server alone"),
            }
            self.metrics.counted_alone.inc();
        }
        match self.reserve(&self.local, subject, time).await {
            Ok(decided) => decided,
            Err(error) => unreachable!("memory does not fail: {error}"),
        }
    }

    async fn reserve(
        &self,
        attempts: &Arc<dyn Attempts>,
        subject: Subject<'_>,
        time: &StoreTime,
    ) -> Result<Result<Admission, Throttled>, StoreError> {
        let bucket = |limit: &'static Limit, tag| Bucket { tag, limit };
        let decided = match subject {
            Subject::Account(email, address) => {
                let devices = self.tagger.device(email, address);
                let admission = Admission::new(attempts, devices.first().copied());
                let pair = bucket(&PAIR, self.tagger.pair(email, address));
                if knows_any(attempts, &devices, time).await? {
                    return admission.hold(&[pair], time).await;
                }
                // First: an address that has used up its own must not fill buckets of accounts, nor be in their way.
                let of_address = bucket(&ADDRESS, self.tagger.address(ADDRESS.name, address));
                let admission = match admission.hold(&[of_address], time).await? {
                    Ok(admission) => admission,
                    Err(throttled) => return Ok(Err(throttled)),
                };
                admission.hold(&[pair, bucket(&ACCOUNT, self.tagger.account(email))], time).await?
            }
            Subject::Address(address) => {
                let address = bucket(&ADDRESS, self.tagger.address(ADDRESS.name, address));
                Admission::new(attempts, None).hold(&[address], time).await?
            }
            Subject::SignUp(email, address) => {
                let device = self.tagger.device(email, address).first().copied();
                let address = bucket(&SIGN_UPS, self.tagger.address(SIGN_UPS.name, address));
                Admission::new(attempts, device).hold(&[address], time).await?
            }
        };
        Ok(decided)
    }
}

async fn knows_any(attempts: &Arc<dyn Attempts>, devices: &[Tag], time: &StoreTime) -> Result<bool, StoreError> {
    let known = join_all(devices.iter().map(|device| attempts.knows(device, time))).await;
    known.into_iter().try_fold(false, |known, device| Ok(known | device?))
}
