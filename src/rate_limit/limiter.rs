//! The limiter: chooses the buckets and the store of each attempt.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tracing::debug;

use super::{
    bucket_keys::BucketKeys,
    error::RateLimited,
    limits::{ACCOUNT, ACCOUNT_IP, ADDRESS, AddressLimits, SIGN_UPS},
    overflow::Counters,
    queue::{AttemptQueue, QueueEntry},
    reservation::Reservation,
};
use crate::{
    keys::LiveKeyring,
    metrics::RateLimitMetrics,
    model::Email,
    store::{AttemptStore, Bucket, BucketKey, StoreError, TimeBudget},
};

/// The name of the shared store in its errors.
const STORE: &str = "attempt store";

/// Limits failed logins and sign-ups.
pub struct LoginLimiter {
    shared: Option<Arc<dyn AttemptStore>>,
    local: Arc<dyn AttemptStore>,
    bucket_keys: BucketKeys,
    queue: AttemptQueue,
    max_wait: Duration,
    metrics: RateLimitMetrics,
}

/// The stores that count attempts.
pub struct AttemptStores {
    /// Counts the attempts of all servers; `None` if there is only one server.
    pub shared: Option<Arc<dyn AttemptStore>>,
    /// Counts in the memory of this process: alone, while the shared store is unavailable, and what it has no space for. It
    /// must never fail or be full.
    pub local: Arc<dyn AttemptStore>,
}

/// The account and the address that an attempt counts against.
#[derive(Clone, Copy)]
pub(crate) enum AttemptSubject<'attempt> {
    /// A login to an account.
    Account(&'attempt Email, IpAddr),
    /// A login with an email that no account can have.
    Address(IpAddr),
    /// A sign-up.
    SignUp(&'attempt Email, IpAddr),
}

impl LoginLimiter {
    /// Creates a limiter. An attempt waits at most `max_wait` in the queue of its account and address.
    #[must_use]
    pub fn new(stores: AttemptStores, keys: Arc<LiveKeyring>, max_wait: Duration, metrics: RateLimitMetrics) -> Self {
        let AttemptStores { shared, local } = stores;
        Self { shared, local, bucket_keys: BucketKeys::new(keys), queue: AttemptQueue::default(), max_wait, metrics }
    }

    /// Adds an attempt to the queue of an account and an address.
    #[must_use]
    pub(crate) fn join(&self, email: &Email, address: IpAddr) -> QueueEntry {
        self.queue.join(self.bucket_keys.account_ip(email, address))
    }

    /// Returns the longest time that an attempt may wait in a queue.
    #[must_use]
    pub(crate) fn max_wait(&self) -> Duration {
        self.max_wait
    }

    /// Reserves an attempt in the shared store or, if that is unavailable, in the local one. The shared store gets a
    /// quarter of `time`, so that an outage leaves enough for the other store calls of the request.
    ///
    /// # Errors
    /// Returns [`RateLimited`] if a limit is exceeded.
    pub(crate) async fn reserve(
        &self,
        subject: AttemptSubject<'_>,
        time: &TimeBudget,
    ) -> Result<Reservation, RateLimited> {
        let reserved = self.reserve_in_any(subject, time).await;
        reserved.inspect_err(|rate_limited| self.metrics.count_rejected(rate_limited.limit))
    }

    async fn reserve_in_any(&self, subject: AttemptSubject<'_>, time: &TimeBudget) -> Result<Reservation, RateLimited> {
        if let Some(shared) = &self.shared {
            let quarter = time.quarter();
            match time.limit(STORE, self.reserve_in(shared, subject, &quarter)).await {
                Ok(reserved) => return reserved,
                Err(error) => debug!(%error, "shared attempt store unavailable; counting locally"),
            }
            self.metrics.local_fallback.inc();
        }
        match self.reserve_in(&self.local, subject, time).await {
            Ok(reserved) => reserved,
            Err(error) => unreachable!("the local attempt store does not fail: {error}"),
        }
    }

    async fn reserve_in(
        &self,
        store: &Arc<dyn AttemptStore>,
        subject: AttemptSubject<'_>,
        time: &TimeBudget,
    ) -> Result<Result<Reservation, RateLimited>, StoreError> {
        match subject {
            AttemptSubject::Account(email, address) => self.reserve_login(store, email, address, time).await,
            AttemptSubject::Address(address) => {
                self.reserve_address(self.reservation(store, None), (&ADDRESS, address), time).await
            }
            AttemptSubject::SignUp(email, address) => {
                let device = self.bucket_keys.device(email, address).first().copied();
                self.reserve_address(self.reservation(store, device), (&SIGN_UPS, address), time).await
            }
        }
    }

    async fn reserve_login(
        &self,
        store: &Arc<dyn AttemptStore>,
        email: &Email,
        address: IpAddr,
        time: &TimeBudget,
    ) -> Result<Result<Reservation, RateLimited>, StoreError> {
        let devices = self.bucket_keys.device(email, address);
        let reservation = self.reservation(store, devices.first().copied());
        let account_ip = Bucket { key: self.bucket_keys.account_ip(email, address), limit: &ACCOUNT_IP };
        if knows_any(store, &devices, time).await? {
            return reservation.reserve(&[account_ip], time).await;
        }
        // The address first: an address over its own limit must not fill the buckets of accounts.
        let reservation = match self.reserve_address(reservation, (&ADDRESS, address), time).await? {
            Ok(reservation) => reservation,
            Err(rate_limited) => return Ok(Err(rate_limited)),
        };
        let account = Bucket { key: self.bucket_keys.account(email), limit: &ACCOUNT };
        reservation.reserve(&[account_ip, account], time).await
    }

    /// Reserves the attempt in the networks of an address: the narrowest one first, so that what it rejects is not
    /// charged to the wider ones, which others share.
    async fn reserve_address(
        &self,
        reservation: Reservation,
        (limits, address): (&'static AddressLimits, IpAddr),
        time: &TimeBudget,
    ) -> Result<Result<Reservation, RateLimited>, StoreError> {
        let (narrow, wider) = self.bucket_keys.address(limits, address);
        match reservation.reserve(&[narrow], time).await? {
            Ok(reservation) => reservation.reserve(&wider, time).await,
            Err(rate_limited) => Ok(Err(rate_limited)),
        }
    }

    fn reservation(&self, store: &Arc<dyn AttemptStore>, device: Option<BucketKey>) -> Reservation {
        let counters =
            Counters { store: Arc::clone(store), overflow: Arc::clone(&self.local), metrics: self.metrics.clone() };
        Reservation::new(counters, device)
    }
}

async fn knows_any(
    store: &Arc<dyn AttemptStore>,
    devices: &[BucketKey],
    time: &TimeBudget,
) -> Result<bool, StoreError> {
    let known = join_all(devices.iter().map(|device| store.knows(device, time))).await;
    known.into_iter().try_fold(false, |known, device| Ok(known | device?))
}
