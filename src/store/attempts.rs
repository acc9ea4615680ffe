//! The contract of attempt stores, and the algorithm that decides whether an attempt is allowed.
//!
//! A bucket follows the generic cell rate algorithm (ITU-T I.371, annex A) in its virtual scheduling form, with one
//! addition: the charge of an attempt may grow with the number of attempts before it.

use std::time::Duration;

use async_trait::async_trait;

use super::{error::StoreError, time_budget::TimeBudget};

/// Counts attempts in buckets and remembers devices, for rate limits.
///
/// A bucket behaves as a [`GcraState`] that exists from its first reservation until [`GcraState::expires_at`]. A bucket
/// that is not stored is empty. All times are taken from the store's own clock.
///
/// A store holds at most a fixed number of buckets and never evicts one that has not expired. Devices have a bound of their
/// own, so failed attempts cannot displace them: [`MAX_DEVICES`] for each account, so logins to one account displace only
/// its own.
///
/// Every method is one atomic operation, on one key. A call counts against `time` while it runs, and fails with
/// [`StoreError::Unavailable`] when that is used up. An implementation may repeat a call whose connection broke, but
/// not [`reserve`](Self::reserve) or [`refund`](Self::refund), which would count twice.
#[async_trait]
pub trait AttemptStore: Send + Sync {
    /// Reserves an attempt if the bucket allows one, as [`GcraState::reserve`] does. The attempt counts as failed until
    /// it is refunded or the bucket is cleared. An attempt that is denied, or for which there is no space, changes nothing.
    async fn reserve(&self, bucket: &Bucket, time: &TimeBudget) -> Result<ReserveOutcome, StoreError>;

    /// Refunds an attempt that did not take place or did not fail, as [`GcraState::refund`] does. `charge` is the one
    /// that [`reserve`](Self::reserve) returned. An empty bucket stays empty, and a bucket whose count becomes 0 is
    /// removed, so that attempts which cost nothing leave nothing behind.
    async fn refund(&self, bucket: &Bucket, charge: Duration, time: &TimeBudget) -> Result<(), StoreError>;

    /// Removes a bucket.
    async fn clear(&self, bucket: &Bucket, time: &TimeBudget) -> Result<(), StoreError>;

    /// Returns whether the device was remembered within the last [`DEVICE_KNOWN_FOR`] and not evicted since.
    async fn knows(&self, device: &Device, time: &TimeBudget) -> Result<bool, StoreError>;

    /// Remembers a device for [`DEVICE_KNOWN_FOR`] from now. If its account then has more than [`MAX_DEVICES`], evicts
    /// the one with the oldest login.
    async fn remember(&self, device: &Device, time: &TimeBudget) -> Result<(), StoreError>;
}

/// How long a device is remembered after the last login from it (90 days).
pub const DEVICE_KNOWN_FOR: Duration = Duration::from_hours(90 * 24);

/// The maximum number of devices of an account. A phone gets a new IPv6 /64 with each connection to its mobile network, and
/// must not displace the networks of the user's home and work.
pub const MAX_DEVICES: usize = 20;

/// A device: a network from which an account has logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Identifies the account among all accounts.
    pub account: BucketKey,
    /// Identifies the account and the network together, among all devices.
    pub key: BucketKey,
}

/// The key of a bucket, or of a device or its account: a keyed digest, which does not reveal the account or the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketKey(pub [u8; 16]);

/// A counter of the attempts by one origin, or at one account.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// Identifies the bucket among those of its limit.
    pub key: BucketKey,
    /// How many attempts it allows.
    pub limit: &'static Limit,
}

/// The limit of a bucket: how many attempts it allows, and at which rate.
#[derive(Debug)]
pub struct Limit {
    /// The name in metrics and in the keys of Redis.
    pub name: &'static str,
    /// The charges of the first attempt without a refund, the second, and so on; the last charge is that of all further
    /// ones.
    pub charges: &'static [Duration],
    /// How far the sum of the charges may be ahead of the time while another attempt is allowed.
    pub burst: Duration,
    /// How long a bucket is kept after its last attempt, at least, for each attempt that it counts.
    pub ttl_per_attempt: Duration,
    /// The count from which a bucket is kept for [`DEVICE_KNOWN_FOR`] instead.
    pub long_ttl_from: u32,
}

impl Limit {
    /// Returns the charge of the attempt that raises the count to `count`.
    #[must_use]
    pub fn charge(&self, count: u32) -> Duration {
        let last = self.charges.len().saturating_sub(1);
        let index = usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX).min(last);
        self.charges.get(index).copied().unwrap_or_default()
    }

    /// Returns whether a bucket is kept for as long as its charges only. It then expires within seconds of a single
    /// failure, and a bucket of any other limit after minutes.
    #[must_use]
    pub fn is_short_lived(&self) -> bool {
        self.ttl_per_attempt.is_zero()
    }
}

/// The outcome of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReserveOutcome {
    /// The attempt may take place.
    Allowed {
        /// The charge, for a refund.
        charge: Duration,
        /// The number of attempts without a refund, including this one.
        count: u32,
    },
    /// The attempt is denied.
    Denied {
        /// The time until another attempt may; greater than zero.
        wait: Duration,
    },
    /// The bucket is empty, and the store holds as many buckets as it may: another store must count the attempt.
    Full,
}

/// The state of a bucket. Times are durations since an origin that the store chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GcraState {
    /// The number of attempts without a refund.
    pub count: u32,
    /// When their charges will have elapsed: the theoretical arrival time of the algorithm.
    pub until: Duration,
}

impl GcraState {
    /// Reserves an attempt, unless the charges are more than `limit.burst` ahead of `now`.
    pub fn reserve(&mut self, limit: &Limit, now: Duration) -> ReserveOutcome {
        let wait = self.until.saturating_sub(limit.burst).saturating_sub(now);
        if !wait.is_zero() {
            return ReserveOutcome::Denied { wait };
        }
        self.count = self.count.saturating_add(1);
        let charge = limit.charge(self.count);
        // An attempt without a charge must not move `until`: another one may have read the time slightly earlier, or
        // the clock may have been set back, and would then have to wait.
        if !charge.is_zero() {
            self.until = self.until.max(now) + charge;
        }
        ReserveOutcome::Allowed { charge, count: self.count }
    }

    /// Refunds an attempt.
    pub fn refund(&mut self, charge: Duration) {
        self.count = self.count.saturating_sub(1);
        self.until = self.until.saturating_sub(charge);
    }

    /// Returns the time until which the state must be kept.
    #[must_use]
    pub fn expires_at(&self, limit: &Limit, now: Duration) -> Duration {
        let is_long = self.count >= limit.long_ttl_from;
        let ttl = if is_long { DEVICE_KNOWN_FOR } else { limit.ttl_per_attempt.saturating_mul(self.count) };
        self.until.max(now.saturating_add(ttl))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Allows three attempts at once, then one every ten seconds.
    static STEADY: Limit = Limit {
        name: "steady",
        charges: &[Duration::from_secs(10)],
        burst: Duration::from_secs(20),
        ttl_per_attempt: Duration::ZERO,
        long_ttl_from: u32::MAX,
    };

    /// Charges nothing for the first attempt, one second for the second, and three seconds for each further one.
    static BACKOFF: Limit = Limit {
        name: "backoff",
        charges: &[Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)],
        burst: Duration::ZERO,
        ttl_per_attempt: Duration::from_mins(1),
        long_ttl_from: 4,
    };

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn allowed(charge: u64, count: u32) -> ReserveOutcome {
        ReserveOutcome::Allowed { charge: Duration::from_secs(charge), count }
    }

    fn denied(wait: u64) -> ReserveOutcome {
        ReserveOutcome::Denied { wait: Duration::from_secs(wait) }
    }

    #[test]
    fn burst_is_allowed_at_once_and_then_one_at_a_time() {
        let mut state = GcraState::default();

        for count in 1..=3 {
            assert_eq!(state.reserve(&STEADY, at(0)), allowed(10, count));
        }
        assert_eq!(state.reserve(&STEADY, at(0)), denied(10));
        assert_eq!(state.reserve(&STEADY, at(9)), denied(1));
        assert_eq!(state.reserve(&STEADY, at(10)), allowed(10, 4));
        assert_eq!(state.reserve(&STEADY, at(10)), denied(10));
    }

    #[test]
    fn refunded_attempt_can_be_reserved_again() {
        let mut state = GcraState::default();
        for _ in 0..3 {
            state.reserve(&STEADY, at(0));
        }

        state.refund(Duration::from_secs(10));

        assert_eq!(state.reserve(&STEADY, at(0)), allowed(10, 3));
        assert_eq!(state.reserve(&STEADY, at(0)), denied(10));
    }

    #[test]
    fn free_attempt_delays_no_attempt_with_an_earlier_time() {
        let mut state = GcraState::default();

        assert_eq!(state.reserve(&BACKOFF, at(5)), allowed(0, 1));
        assert_eq!(state.reserve(&BACKOFF, at(0)), allowed(1, 2));
    }

    #[test]
    fn wait_grows_with_the_attempts() {
        let mut state = GcraState::default();

        assert_eq!(state.reserve(&BACKOFF, at(0)), allowed(0, 1));
        assert_eq!(state.reserve(&BACKOFF, at(0)), allowed(1, 2));
        assert_eq!(state.reserve(&BACKOFF, at(0)), denied(1));
        assert_eq!(state.reserve(&BACKOFF, at(1)), allowed(3, 3));
        assert_eq!(state.reserve(&BACKOFF, at(1)), denied(3));
        assert_eq!(state.reserve(&BACKOFF, at(100)), allowed(3, 4));
    }

    #[test]
    fn bucket_is_kept_for_its_charges_and_longer_with_each_attempt() {
        let state = |count, until| GcraState { count, until: at(until) };

        assert_eq!(state(3, 30).expires_at(&STEADY, at(0)), at(30));
        assert_eq!(state(1, 30).expires_at(&BACKOFF, at(0)), at(60));
        assert_eq!(state(3, 30).expires_at(&BACKOFF, at(0)), at(180));
        assert_eq!(state(4, 30).expires_at(&BACKOFF, at(0)), at(0) + DEVICE_KNOWN_FOR);
    }
}
