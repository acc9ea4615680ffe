//! The limiter.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tracing::debug;

use super::{
    bucket_keys::BucketKeys,
    error::RateLimited,
    limits::{ACCOUNT, ACCOUNT_IP, ADDRESS, SIGN_UPS},
    queue::{AttemptQueue, QueueEntry},
    reservation::Reservation,
};
use crate::{
    keys::LiveKeyring,
    metrics::RateLimitMetrics,
    model::Email,
    store::{AttemptStore, Bucket, BucketKey, Limit, StoreError, TimeBudget},
};

/// The name that the shared store's time is spent under.
const STORE: &str = "the store of attempts";

/// Limits on attempts that fail.
pub struct LoginLimiter {
    /// Where all servers count; `None` where there is one server.
    shared: Option<Arc<dyn AttemptStore>>,
    /// Where this server counts while the shared store cannot be reached, or alone.
    local: Arc<dyn AttemptStore>,
    bucket_keys: BucketKeys,
    queue: AttemptQueue,
    /// The longest time that an attempt may wait for others from the same address at the same account.
    max_wait: Duration,
    metrics: RateLimitMetrics,
}

/// Where attempts are counted.
pub struct AttemptStores {
    /// Where all servers count; `None` where there is one server.
    pub shared: Option<Arc<dyn AttemptStore>>,
    /// In this process.
    pub local: Arc<dyn AttemptStore>,
}

/// The account and the address that an attempt is counted by.
#[derive(Clone, Copy)]
pub enum AttemptSubject<'attempt> {
    /// A login to an account.
    Account(&'attempt Email, IpAddr),
    /// A login with an email that no account can have.
    Address(IpAddr),
    /// A sign-up.
    SignUp(&'attempt Email, IpAddr),
}

impl LoginLimiter {
    /// Limits that nothing counts against yet. `max_wait` is the longest time that an attempt may wait for others from the
    /// same address at the same account.
    #[must_use]
    pub fn new(stores: AttemptStores, keys: Arc<LiveKeyring>, max_wait: Duration, metrics: RateLimitMetrics) -> Self {
        let AttemptStores { shared, local } = stores;
        Self { shared, local, bucket_keys: BucketKeys::new(keys), queue: AttemptQueue::default(), max_wait, metrics }
    }

    /// Goes to the end of the line of an account and an address.
    #[must_use]
    pub fn join(&self, email: &Email, address: IpAddr) -> QueueEntry {
        self.queue.join(self.bucket_keys.account_ip(email, address))
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
    pub async fn reserve(&self, subject: AttemptSubject<'_>, time: &TimeBudget) -> Result<Reservation, RateLimited> {
        let reserved = self.decide(subject, time).await;
        reserved.inspect_err(|rate_limited| self.metrics.refused(rate_limited.limit))
    }

    async fn decide(&self, subject: AttemptSubject<'_>, time: &TimeBudget) -> Result<Reservation, RateLimited> {
        if let Some(shared) = &self.shared {
            let patience = time.quarter();
            match time.limit(STORE, self.reserve_in(shared, subject, &patience)).await {
                Ok(decided) => return decided,
                Err(error) => debug!(%error, "attempts are counted by this server alone"),
            }
            self.metrics.local_fallback.inc();
        }
        match self.reserve_in(&self.local, subject, time).await {
            Ok(decided) => decided,
            Err(error) => unreachable!("memory does not fail: {error}"),
        }
    }

    async fn reserve_in(
        &self,
        attempts: &Arc<dyn AttemptStore>,
        subject: AttemptSubject<'_>,
        time: &TimeBudget,
    ) -> Result<Result<Reservation, RateLimited>, StoreError> {
        let bucket = |limit: &'static Limit, key| Bucket { key, limit };
        let decided = match subject {
            AttemptSubject::Account(email, address) => {
                let devices = self.bucket_keys.device(email, address);
                let reservation = Reservation::new(attempts, devices.first().copied());
                let account_ip = bucket(&ACCOUNT_IP, self.bucket_keys.account_ip(email, address));
                if knows_any(attempts, &devices, time).await? {
                    return reservation.reserve(&[account_ip], time).await;
                }
                // First: an address that has used up its own must not fill buckets of accounts, nor be in their way.
                let of_address = bucket(&ADDRESS, self.bucket_keys.address(ADDRESS.name, address));
                let reservation = match reservation.reserve(&[of_address], time).await? {
                    Ok(reservation) => reservation,
                    Err(rate_limited) => return Ok(Err(rate_limited)),
                };
                reservation.reserve(&[account_ip, bucket(&ACCOUNT, self.bucket_keys.account(email))], time).await?
            }
            AttemptSubject::Address(address) => {
                let address = bucket(&ADDRESS, self.bucket_keys.address(ADDRESS.name, address));
                Reservation::new(attempts, None).reserve(&[address], time).await?
            }
            AttemptSubject::SignUp(email, address) => {
                let device = self.bucket_keys.device(email, address).first().copied();
                let address = bucket(&SIGN_UPS, self.bucket_keys.address(SIGN_UPS.name, address));
                Reservation::new(attempts, device).reserve(&[address], time).await?
            }
        };
        Ok(decided)
    }
}

async fn knows_any(
    attempts: &Arc<dyn AttemptStore>,
    devices: &[BucketKey],
    time: &TimeBudget,
) -> Result<bool, StoreError> {
    let known = join_all(devices.iter().map(|device| attempts.knows(device, time))).await;
    known.into_iter().try_fold(false, |known, device| Ok(known | device?))
}
