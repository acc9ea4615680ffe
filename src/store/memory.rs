//! Attempts in the memory of the process: used beside the embedded store, and for what Redis cannot count.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};

use super::{
    attempts::{AttemptStore, Bucket, BucketKey, DEVICE_KNOWN_FOR, GcraState, ReserveOutcome},
    error::StoreError,
    expiring_map::ExpiringMap,
    time_budget::TimeBudget,
};
use crate::clock::Clock;

/// The maximum number of buckets (about eight megabytes), and again of those that overflow. An embedded store gets this
/// many in 16 minutes from 26 failed logins a second.
const MAX_BUCKETS: usize = 50_000;

/// The maximum number of devices (about four megabytes).
const MAX_DEVICES: usize = 50_000;

/// Attempts and devices in memory, which are lost when the process ends.
///
/// When the maximum number of buckets is reached, new ones overflow into a second table of the same size, which evicts
/// those that expire first: the ones with the fewest failures. So [`reserve`](AttemptStore::reserve) never returns
/// [`ReserveOutcome::Full`], no bucket of the first table is evicted, and each attempt that evicts a bucket of the second
/// has cost its client a password hash. Devices have a table of their own, which evicts the one with the oldest login.
pub struct MemoryAttempts {
    started: Instant,
    clock: Arc<dyn Clock>,
    max_buckets: usize,
    tables: Mutex<Tables>,
}

struct Tables {
    buckets: ExpiringMap<BucketId, GcraState>,
    overflow: ExpiringMap<BucketId, GcraState>,
    devices: ExpiringMap<BucketKey, ()>,
}

/// The name of a limit, and the key of a bucket.
type BucketId = (&'static str, BucketKey);

impl MemoryAttempts {
    /// Creates an empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let tables = Tables { buckets: ExpiringMap::new(), overflow: ExpiringMap::new(), devices: ExpiringMap::new() };
        Self { started: Instant::now(), clock, max_buckets: MAX_BUCKETS, tables: Mutex::new(tables) }
    }

    /// Sets the maximum number of buckets (default 50,000), and of those that overflow.
    #[must_use]
    pub fn with_max_buckets(self, max_buckets: usize) -> Self {
        Self { max_buckets, ..self }
    }

    /// Returns the time since the start, which does not depend on the system clock.
    fn now(&self) -> Duration {
        self.started.elapsed() + self.clock.offset()
    }

    /// Locks the tables and then reads the time, so that times increase in the order of the locks.
    fn lock_now(&self) -> (MutexGuard<'_, Tables>, Duration) {
        let tables = self.tables.lock();
        (tables, self.now())
    }
}

impl Tables {
    /// Returns the state of a bucket that has not expired.
    fn find(&mut self, id: &BucketId, now: Duration) -> Option<&mut GcraState> {
        self.buckets.find_mut(id, now).or_else(|| self.overflow.find_mut(id, now))
    }

    /// Returns the table that has a bucket, or the one to create it in.
    fn table_of(&mut self, id: &BucketId, max_buckets: usize, now: Duration) -> &mut ExpiringMap<BucketId, GcraState> {
        for table in [&mut self.buckets, &mut self.overflow] {
            table.remove_expired(now);
        }
        if self.overflow.find_mut(id, now).is_some() {
            return &mut self.overflow;
        }
        if self.buckets.find_mut(id, now).is_some() || self.buckets.len() < max_buckets {
            return &mut self.buckets;
        }
        if self.overflow.len() >= max_buckets {
            self.overflow.remove_first();
        }
        &mut self.overflow
    }

    fn remove(&mut self, id: &BucketId) {
        self.buckets.remove(id);
        self.overflow.remove(id);
    }
}

fn id(bucket: &Bucket) -> BucketId {
    (bucket.limit.name, bucket.key)
}

#[async_trait]
impl AttemptStore for MemoryAttempts {
    async fn reserve(&self, bucket: &Bucket, _: &TimeBudget) -> Result<ReserveOutcome, StoreError> {
        let (mut tables, now) = self.lock_now();
        let mut state = tables.find(&id(bucket), now).copied().unwrap_or_default();
        let outcome = state.reserve(bucket.limit, now);
        if matches!(outcome, ReserveOutcome::Allowed { .. }) {
            let table = tables.table_of(&id(bucket), self.max_buckets, now);
            table.insert(id(bucket), state, state.expires_at(bucket.limit, now));
        }
        Ok(outcome)
    }

    async fn refund(&self, bucket: &Bucket, charge: Duration, _: &TimeBudget) -> Result<(), StoreError> {
        let (mut tables, now) = self.lock_now();
        if let Some(state) = tables.find(&id(bucket), now) {
            state.refund(charge);
            // An attempt without a charge must leave no entry.
            if state.count == 0 {
                tables.remove(&id(bucket));
            }
        }
        Ok(())
    }

    async fn clear(&self, bucket: &Bucket, _: &TimeBudget) -> Result<(), StoreError> {
        self.tables.lock().remove(&id(bucket));
        Ok(())
    }

    async fn knows(&self, device: &BucketKey, _: &TimeBudget) -> Result<bool, StoreError> {
        let (mut tables, now) = self.lock_now();
        Ok(tables.devices.find_mut(device, now).is_some())
    }

    async fn remember(&self, device: &BucketKey, _: &TimeBudget) -> Result<(), StoreError> {
        let (mut tables, now) = self.lock_now();
        tables.devices.remove_expired(now);
        tables.devices.insert(*device, (), now + DEVICE_KNOWN_FOR);
        if tables.devices.len() > MAX_DEVICES {
            tables.devices.remove_first();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::super::attempts::Limit;
    use super::*;
    use crate::clock::SystemClock;

    static LIMIT: Limit = Limit {
        name: "limit",
        charges: &[Duration::from_secs(10)],
        burst: Duration::from_hours(1),
        ttl_per_attempt: Duration::from_hours(24),
        long_ttl_from: u32::MAX,
    };

    struct Counted(MemoryAttempts);

    impl Counted {
        fn with_max_buckets(max_buckets: usize) -> Self {
            Self(MemoryAttempts::new(Arc::new(SystemClock)).with_max_buckets(max_buckets))
        }

        /// Reserves an attempt, and returns the count.
        fn reserve(&self, number: usize) -> u32 {
            let outcome = self.0.reserve(&bucket(number), &time()).now_or_never().expect("ready").expect("no error");
            let ReserveOutcome::Allowed { count, .. } = outcome else { panic!("not allowed: {outcome:?}") };
            count
        }

        fn refund(&self, number: usize) {
            let (bucket, time) = (bucket(number), time());
            let refunded = self.0.refund(&bucket, LIMIT.charge(1), &time);
            refunded.now_or_never().expect("ready").expect("no error");
        }

        fn remember(&self, number: usize) {
            self.0.remember(&key(number), &time()).now_or_never().expect("ready").expect("no error");
        }

        fn knows(&self, number: usize) -> bool {
            self.0.knows(&key(number), &time()).now_or_never().expect("ready").expect("no error")
        }

        /// Returns the number of buckets, and of those that overflowed.
        fn sizes(&self) -> (usize, usize) {
            let tables = self.0.tables.lock();
            (tables.buckets.len(), tables.overflow.len())
        }
    }

    fn time() -> TimeBudget {
        TimeBudget::new(Duration::ZERO)
    }

    fn key(number: usize) -> BucketKey {
        BucketKey((number as u128).to_be_bytes())
    }

    fn bucket(number: usize) -> Bucket {
        Bucket { key: key(number), limit: &LIMIT }
    }

    #[test]
    fn fully_refunded_bucket_is_removed() {
        let counted = Counted::with_max_buckets(1);
        for number in [0, 1] {
            counted.reserve(number);
            counted.reserve(number);
            counted.refund(number);
        }
        assert_eq!(counted.sizes(), (1, 1));

        counted.refund(0);
        counted.refund(1);

        assert_eq!(counted.sizes(), (0, 0));
    }

    #[test]
    fn full_store_evicts_only_overflowed_buckets_with_the_fewest_failures() {
        let counted = Counted::with_max_buckets(3);
        for number in 0..5 {
            counted.reserve(number);
        }
        assert_eq!(counted.reserve(3), 2);

        for number in 5..10 {
            counted.reserve(number);
        }

        assert_eq!(counted.sizes(), (3, 3));
        assert_eq!([0, 1, 2, 3].map(|number| counted.reserve(number)), [2, 2, 2, 3]);
        assert_eq!(counted.reserve(4), 1);
    }

    #[test]
    fn overflowed_bucket_keeps_counting_when_there_is_space_again() {
        let counted = Counted::with_max_buckets(1);
        counted.reserve(0);
        counted.reserve(1);

        counted.refund(0);

        assert_eq!(counted.reserve(1), 2);
    }

    #[test]
    fn devices_outlast_failed_attempts_and_the_oldest_is_evicted() {
        let counted = Counted::with_max_buckets(1);
        for number in 0..MAX_DEVICES {
            counted.remember(number);
        }
        for number in 0..10 {
            counted.reserve(number);
        }
        assert!(counted.knows(0));

        counted.remember(MAX_DEVICES);

        assert!(!counted.knows(0));
        assert!(counted.knows(1) && counted.knows(MAX_DEVICES));
    }
}
