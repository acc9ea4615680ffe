//! What is kept of attempts, so that too many that fail can be refused: a trait, and its rule.
//!
//! A bucket is filled by the generic cell rate algorithm (ITU-T I.371, annex A) in its form of virtual scheduling, with one
//! addition: what an attempt costs may grow with the number of those before it.

use std::time::Duration;

use async_trait::async_trait;

use super::{error::StoreError, time_budget::TimeBudget};

/// Keeps count of attempts, and knows devices. All times are the store's own.
#[async_trait]
pub trait AttemptStore: Send + Sync {
    /// Reserves an attempt in one step: it counts as one that fails until it is given back.
    async fn reserve(&self, bucket: &Bucket, time: &TimeBudget) -> Result<ReserveOutcome, StoreError>;

    /// Gives back an attempt that was reserved at this charge: it has not taken place, or not failed.
    async fn refund(&self, bucket: &Bucket, charge: Duration, time: &TimeBudget) -> Result<(), StoreError>;

    /// Empties a bucket.
    async fn clear(&self, bucket: &Bucket, time: &TimeBudget) -> Result<(), StoreError>;

    /// Whether a device was remembered within the last [`DEVICE_KNOWN_FOR`].
    async fn knows(&self, device: &BucketKey, time: &TimeBudget) -> Result<bool, StoreError>;

    /// Remembers a device from now on.
    async fn remember(&self, device: &BucketKey, time: &TimeBudget) -> Result<(), StoreError>;
}

/// How long a device is remembered after the last login from there.
pub const DEVICE_KNOWN_FOR: Duration = Duration::from_hours(90 * 24);

/// What names a bucket or a device: a keyed digest, which tells nobody of whom or of which address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketKey(pub [u8; 16]);

/// What counts the attempts of one origin, or at one account.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// Which one.
    pub key: BucketKey,
    /// How many it takes.
    pub limit: &'static Limit,
}

/// How many attempts a bucket takes, and how fast.
#[derive(Debug)]
pub struct Limit {
    /// What it is called in metrics.
    pub name: &'static str,
    /// What each attempt costs that has not been given back: the first, the second, and so on; each further one as the last.
    pub charges: &'static [Duration],
    /// How far ahead of the time the charges may be for another attempt.
    pub burst: Duration,
    /// How long a bucket is kept after its last attempt, at least.
    pub ttl: Duration,
    /// How many attempts without success make it be kept for [`DEVICE_KNOWN_FOR`].
    pub kept_on_from: u32,
}

impl Limit {
    /// What the attempt costs that becomes number `count`, counted from 1.
    #[must_use]
    pub fn charge(&self, count: u32) -> Duration {
        let last = self.charges.len().saturating_sub(1);
        let place = usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX).min(last);
        self.charges.get(place).copied().unwrap_or_default()
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReserveOutcome {
    /// It may take place.
    Made {
        /// What was charged for it.
        charge: Duration,
        /// How many have been reserved, and not been given back, with this one.
        count: u32,
    },
    /// It may not.
    Refused {
        /// How long it will be until another may; more than nothing.
        wait: Duration,
    },
}

/// The rule, by the time that has passed since some beginning: what a bucket keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GcraState {
    /// How many attempts have been reserved and not been given back.
    pub count: u32,
    /// When what they cost will have passed: the theoretical arrival time.
    pub until: Duration,
}

impl GcraState {
    /// Reserves an attempt, where there is room.
    pub fn reserve(&mut self, limit: &Limit, now: Duration) -> ReserveOutcome {
        let wait = self.until.saturating_sub(limit.burst).saturating_sub(now);
        if !wait.is_zero() {
            return ReserveOutcome::Refused { wait };
        }
        self.count = self.count.saturating_add(1);
        let charge = limit.charge(self.count);
        // What costs nothing moves nothing: another attempt may have read the time a little earlier, or a clock been put back.
        if !charge.is_zero() {
            self.until = self.until.max(now) + charge;
        }
        ReserveOutcome::Made { charge, count: self.count }
    }

    /// Gives an attempt back.
    pub fn refund(&mut self, charge: Duration) {
        self.count = self.count.saturating_sub(1);
        self.until = self.until.saturating_sub(charge);
    }

    /// Until when it has to be kept.
    #[must_use]
    pub fn kept_until(&self, limit: &Limit, now: Duration) -> Duration {
        let ttl = if self.count >= limit.kept_on_from { DEVICE_KNOWN_FOR } else { limit.ttl };
        self.until.max(now + ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three at once, and then one in ten seconds.
    static STEADY: Limit = Limit {
        name: "steady",
        charges: &[Duration::from_secs(10)],
        burst: Duration::from_secs(20),
        ttl: Duration::ZERO,
        kept_on_from: u32::MAX,
    };

    /// One for nothing, and then one after a second, and each further one after three.
    static GROWING: Limit = Limit {
        name: "growing",
        charges: &[Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)],
        burst: Duration::ZERO,
        ttl: Duration::from_mins(1),
        kept_on_from: 4,
    };

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn made(charge: u64, count: u32) -> ReserveOutcome {
        ReserveOutcome::Made { charge: Duration::from_secs(charge), count }
    }

    fn refused(wait: u64) -> ReserveOutcome {
        ReserveOutcome::Refused { wait: Duration::from_secs(wait) }
    }

    #[test]
    fn as_many_as_the_tolerance_has_room_for_are_taken_at_once_and_then_one_by_one() {
        let mut level = GcraState::default();

        for count in 1..=3 {
            assert_eq!(level.reserve(&STEADY, at(0)), made(10, count));
        }
        assert_eq!(level.reserve(&STEADY, at(0)), refused(10));
        assert_eq!(level.reserve(&STEADY, at(9)), refused(1));
        assert_eq!(level.reserve(&STEADY, at(10)), made(10, 4));
        assert_eq!(level.reserve(&STEADY, at(10)), refused(10));
    }

    #[test]
    fn what_is_given_back_can_be_reserved_again() {
        let mut level = GcraState::default();
        for _ in 0..3 {
            level.reserve(&STEADY, at(0));
        }

        level.refund(Duration::from_secs(10));

        assert_eq!(level.reserve(&STEADY, at(0)), made(10, 3));
        assert_eq!(level.reserve(&STEADY, at(0)), refused(10));
    }

    #[test]
    fn an_attempt_that_costs_nothing_has_nobody_wait_whatever_time_they_have_read() {
        let mut level = GcraState::default();

        assert_eq!(level.reserve(&GROWING, at(5)), made(0, 1));
        assert_eq!(level.reserve(&GROWING, at(0)), made(1, 2));
    }

    #[test]
    fn the_wait_grows_with_the_attempts() {
        let mut level = GcraState::default();

        assert_eq!(level.reserve(&GROWING, at(0)), made(0, 1));
        assert_eq!(level.reserve(&GROWING, at(0)), made(1, 2));
        assert_eq!(level.reserve(&GROWING, at(0)), refused(1));
        assert_eq!(level.reserve(&GROWING, at(1)), made(3, 3));
        assert_eq!(level.reserve(&GROWING, at(1)), refused(3));
        assert_eq!(level.reserve(&GROWING, at(100)), made(3, 4));
    }

    #[test]
    fn a_bucket_is_kept_until_its_charges_have_passed_and_for_its_time() {
        let level = |count, until| GcraState { count, until: at(until) };

        assert_eq!(level(3, 30).kept_until(&STEADY, at(0)), at(30));
        assert_eq!(level(3, 30).kept_until(&GROWING, at(0)), at(60));
        assert_eq!(level(4, 30).kept_until(&GROWING, at(0)), at(0) + DEVICE_KNOWN_FOR);
    }
}
