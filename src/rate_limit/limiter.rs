//! The limiter: chooses the buckets and the store of each attempt.

use std::{future::pending, net::IpAddr, panic, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::task::JoinError;
use tracing::debug;

use super::{
    bucket_keys::BucketKeys,
    error::RateLimited,
    limits::{ACCOUNT, ACCOUNT_IP, ACCOUNT_SESSION, ADDRESS, AddressLimits, EXPORTS, SIGN_UPS, imported_hashes},
    overflow::Counters,
    queue::{AttemptQueue, QueueEntry},
    reservation::{AttemptOutcome, Reservation},
};
use crate::{
    keys::LiveKeyring,
    metrics::RateLimitMetrics,
    model::{Email, SessionId, UserId},
    store::{AttemptStore, Bucket, Device, StoreError, TimeBudget},
};

/// Limits failed logins and sign-ups, and permits their work on the hashing threads.
pub struct LoginLimiter {
    /// `None` if the limits are off.
    counter: Option<Arc<AttemptCounter>>,
    account_queue: AttemptQueue,
    address_queue: AttemptQueue,
    max_wait: Duration,
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
#[derive(Clone)]
pub(crate) enum AttemptSubject {
    /// A login to an account.
    Account(Email, IpAddr),
    /// A login to an account with a refresh token, from an address. The token's user need not be that of the account.
    KnownSession(Email, (UserId, SessionId), IpAddr),
    /// A login with an email that no account can have.
    Address(IpAddr),
    /// A sign-up.
    SignUp(Email, IpAddr),
    /// The comparison of a login with an imported hash, which costs as much as this number of hashes.
    Cost(IpAddr, u64),
    /// An export of the user's own data, with the right password.
    Export(UserId, IpAddr),
}

impl AttemptSubject {
    pub(crate) fn address(&self) -> IpAddr {
        match self {
            Self::Account(_, address)
            | Self::KnownSession(_, _, address)
            | Self::Address(address)
            | Self::SignUp(_, address)
            | Self::Cost(address, _)
            | Self::Export(_, address) => *address,
        }
    }
}

impl LoginLimiter {
    /// Creates a limiter. An attempt waits at most `max_wait` in the queues of its account and its address.
    #[must_use]
    pub fn new(stores: AttemptStores, keys: Arc<LiveKeyring>, max_wait: Duration, metrics: RateLimitMetrics) -> Self {
        let counter = AttemptCounter { stores, bucket_keys: BucketKeys::new(keys), metrics };
        Self::with_counter(Some(Arc::new(counter)), max_wait)
    }

    /// Creates a limiter without limits.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::with_counter(None, Duration::ZERO)
    }

    fn with_counter(counter: Option<Arc<AttemptCounter>>, max_wait: Duration) -> Self {
        let (account_queue, address_queue) = (AttemptQueue::of_accounts(), AttemptQueue::of_addresses());
        Self { counter, account_queue, address_queue, max_wait }
    }

    /// Adds an attempt to the queue of an account and an address, or of an account and a session. Returns `None` if the
    /// attempt needs no such queue.
    #[must_use]
    pub(crate) fn join_account(&self, subject: &AttemptSubject) -> Option<QueueEntry> {
        let keys = &self.counter.as_ref()?.bucket_keys;
        let key = match subject {
            AttemptSubject::Account(email, address) => keys.account_ip(email, *address),
            AttemptSubject::KnownSession(_, (user, session), _) => keys.account_session(*user, *session),
            AttemptSubject::Address(_)
            | AttemptSubject::SignUp(..)
            | AttemptSubject::Cost(..)
            | AttemptSubject::Export(..) => return None,
        };
        Some(self.account_queue.join(key))
    }

    /// Adds an attempt to the queue of an address. Returns `None` if the attempt does not count against its address, or
    /// counts even if it succeeds. Attempts join it after the queue of their account, so that attempts at one account take
    /// only a part of it.
    #[must_use]
    pub(crate) fn join_address(&self, subject: &AttemptSubject) -> Option<QueueEntry> {
        let keys = &self.counter.as_ref()?.bucket_keys;
        match subject {
            AttemptSubject::Account(_, address) | AttemptSubject::Address(address) => {
                Some(self.address_queue.join(keys.address(&ADDRESS, *address).0.key))
            }
            AttemptSubject::KnownSession(..)
            | AttemptSubject::SignUp(..)
            | AttemptSubject::Cost(..)
            | AttemptSubject::Export(..) => None,
        }
    }

    /// Returns the longest time that an attempt may wait in a queue.
    #[must_use]
    pub(crate) fn max_wait(&self) -> Duration {
        self.max_wait
    }

    /// Reserves an attempt in the shared store or, if that is unavailable, in the local one. The shared store gets a
    /// quarter of `time`, so that an outage leaves enough for the other store calls of the request.
    ///
    /// The reservation is made by a task. If the caller is dropped meanwhile, the task refunds whatever it has reserved.
    ///
    /// # Errors
    /// Returns [`RateLimited`] if a limit is exceeded.
    pub(crate) async fn reserve(&self, subject: AttemptSubject, time: &TimeBudget) -> Result<Reservation, RateLimited> {
        let Some(counter) = &self.counter else { return Ok(Reservation::unlimited(subject.address())) };
        let (counter, quarter) = (Arc::clone(counter), time.quarter());
        let reserving = tokio::spawn(async move { counter.reserve(subject, &quarter).await });
        match time.counted(reserving).await.map_err(JoinError::try_into_panic) {
            Ok(reserved) => reserved,
            Err(Ok(panic)) => panic::resume_unwind(panic),
            // The runtime is shutting down, and drops this future as well.
            Err(Err(_)) => pending().await,
        }
    }
}

/// Counts attempts.
struct AttemptCounter {
    stores: AttemptStores,
    bucket_keys: BucketKeys,
    metrics: RateLimitMetrics,
}

impl AttemptCounter {
    async fn reserve(&self, subject: AttemptSubject, time: &TimeBudget) -> Result<Reservation, RateLimited> {
        let reserved = self.reserve_in_any(&subject, time).await;
        reserved.inspect_err(|rate_limited| self.metrics.count_rejected(rate_limited.limit))
    }

    async fn reserve_in_any(&self, subject: &AttemptSubject, time: &TimeBudget) -> Result<Reservation, RateLimited> {
        if let Some(shared) = &self.stores.shared {
            match self.reserve_in(shared, subject, time).await {
                Ok(reserved) => return reserved,
                Err(error) => debug!(%error, "shared attempt store unavailable; counting locally"),
            }
            self.metrics.local_fallback.inc();
        }
        match self.reserve_in(&self.stores.local, subject, time).await {
            Ok(reserved) => reserved,
            Err(error) => unreachable!("the local attempt store does not fail: {error}"),
        }
    }

    async fn reserve_in(
        &self,
        store: &Arc<dyn AttemptStore>,
        subject: &AttemptSubject,
        time: &TimeBudget,
    ) -> Result<Result<Reservation, RateLimited>, StoreError> {
        match subject {
            AttemptSubject::Account(email, address) => self.reserve_login(store, email, *address, time).await,
            AttemptSubject::KnownSession(email, (user, session), address) => {
                let device = self.bucket_keys.device(email, *address).first().copied();
                let bucket = Bucket { key: self.bucket_keys.account_session(*user, *session), limit: &ACCOUNT_SESSION };
                self.reservation(store, *address, device).reserve(&[bucket], time).await
            }
            AttemptSubject::Address(address) => {
                let reservation = self.reservation(store, *address, None);
                self.reserve_address(reservation, (&ADDRESS, *address), time).await
            }
            AttemptSubject::SignUp(email, address) => {
                let device = self.bucket_keys.device(email, *address).first().copied();
                let reservation = self.reservation(store, *address, device).that_counts_once_started();
                self.reserve_address(reservation, (&SIGN_UPS, *address), time).await
            }
            AttemptSubject::Cost(address, cost) => {
                let reservation = self.reservation(store, *address, None);
                self.reserve_address(reservation, (imported_hashes(*cost), *address), time).await
            }
            AttemptSubject::Export(user, address) => {
                let bucket = Bucket { key: self.bucket_keys.exports(*user), limit: &EXPORTS };
                self.reservation(store, *address, None).reserve(&[bucket], time).await
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
        let reservation = || self.reservation(store, address, devices.first().copied());
        let account_ip = Bucket { key: self.bucket_keys.account_ip(email, address), limit: &ACCOUNT_IP };
        let (narrow, wider) = self.bucket_keys.address(&ADDRESS, address);
        // Side by side, which saves a round trip. The bucket of the narrowest network may be charged before it is known
        // whether the charge is due: only this address can fill it. If it is not due, it lasts for two round trips, like the
        // charge of an attempt that succeeds, and an address has at most 20 attempts at once (`join_address`), a fifth of
        // what the bucket allows. No other bucket may be charged here: an address over its own limit would fill those of
        // wider networks, or create one for each email that it invents, and each may evict another bucket.
        let (of_address, of_device) = ([narrow], [account_ip]);
        let charging = reservation().reserve(&of_address, time);
        let (known, charged) = tokio::join!(knows_any(store, &devices, time), charging);
        if known? {
            let (reserved, ()) = tokio::join!(reservation().reserve(&of_device, time), withdraw(charged, time));
            return reserved;
        }
        // The networks before the account: an address over its own limit must not fill the buckets of accounts.
        let reservation = match charged? {
            Ok(reservation) => reservation.reserve(&wider, time).await?,
            Err(rate_limited) => Err(rate_limited),
        };
        let reservation = match reservation {
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

    fn reservation(&self, store: &Arc<dyn AttemptStore>, client: IpAddr, device: Option<Device>) -> Reservation {
        let counters = Counters {
            store: Arc::clone(store),
            overflow: Arc::clone(&self.stores.local),
            metrics: self.metrics.clone(),
        };
        Reservation::new(counters, client, device)
    }
}

/// Refunds a reservation that is not due, if it took place.
async fn withdraw(reserved: Result<Result<Reservation, RateLimited>, StoreError>, time: &TimeBudget) {
    if let Ok(Ok(reservation)) = reserved {
        reservation.settle(AttemptOutcome::Aborted, time).await;
    }
}

async fn knows_any(store: &Arc<dyn AttemptStore>, devices: &[Device], time: &TimeBudget) -> Result<bool, StoreError> {
    let known = join_all(devices.iter().map(|device| store.knows(device, time))).await;
    known.into_iter().try_fold(false, |known, device| Ok(known | device?))
}

#[cfg(test)]
mod tests;
