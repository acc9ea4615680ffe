//! Attempts in the memory of the process: used beside the embedded store, and while Redis cannot be reached.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};

use super::{
    attempts::{AttemptStore, Bucket, BucketKey, DEVICE_KNOWN_FOR, GcraState, ReserveOutcome},
    error::StoreError,
    time_budget::TimeBudget,
};
use crate::clock::Clock;

/// The maximum number of buckets and devices, which take about ten megabytes. If there are more, the half that expires
/// first is evicted.
const MAX_ENTRIES: usize = 100_000;

/// Attempts and devices in memory, which are lost when the process ends.
pub struct MemoryAttempts {
    started: Instant,
    clock: Arc<dyn Clock>,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries(HashMap<BucketId, Entry>);

/// The name of a limit or [`DEVICE`], and the key of a bucket or a device.
type BucketId = (&'static str, BucketKey);

/// The first part of a device's key.
const DEVICE: &str = "device";

struct Entry {
    state: GcraState,
    /// When the entry expires, since the start of the process.
    expires: Duration,
}

impl MemoryAttempts {
    /// Creates an empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { started: Instant::now(), clock, entries: Mutex::default() }
    }

    /// Returns the time since the start, which does not depend on the system clock.
    fn now(&self) -> Duration {
        self.started.elapsed() + self.clock.offset()
    }

    /// Locks the entries and then reads the time, so that times increase in the order of the locks.
    fn lock_now(&self) -> (MutexGuard<'_, Entries>, Duration) {
        let entries = self.entries.lock();
        (entries, self.now())
    }
}

impl Entries {
    fn find(&mut self, key: BucketId, now: Duration) -> Option<&mut Entry> {
        self.0.get_mut(&key).filter(|entry| entry.expires > now)
    }

    fn insert(&mut self, key: BucketId, entry: Entry, now: Duration) {
        if self.0.len() >= MAX_ENTRIES {
            self.evict(now);
        }
        self.0.insert(key, entry);
    }

    /// Removes the expired entries, and then the half that expires first if there are still too many.
    fn evict(&mut self, now: Duration) {
        self.0.retain(|_, entry| entry.expires > now);
        if self.0.len() < MAX_ENTRIES {
            return;
        }
        let mut expiries: Vec<_> = self.0.values().map(|entry| entry.expires).collect();
        let middle = expiries.len() / 2;
        let (_, median, _) = expiries.select_nth_unstable(middle);
        let median = *median;
        self.0.retain(|_, entry| entry.expires > median);
    }
}

fn key(bucket: &Bucket) -> BucketId {
    (bucket.limit.name, bucket.key)
}

#[async_trait]
impl AttemptStore for MemoryAttempts {
    async fn reserve(&self, bucket: &Bucket, _: &TimeBudget) -> Result<ReserveOutcome, StoreError> {
        let (mut entries, now) = self.lock_now();
        let mut state = entries.find(key(bucket), now).map(|entry| entry.state).unwrap_or_default();
        let outcome = state.reserve(bucket.limit, now);
        if matches!(outcome, ReserveOutcome::Allowed { .. }) {
            entries.insert(key(bucket), Entry { state, expires: state.expires_at(bucket.limit, now) }, now);
        }
        Ok(outcome)
    }

    async fn refund(&self, bucket: &Bucket, charge: Duration, _: &TimeBudget) -> Result<(), StoreError> {
        let (mut entries, now) = self.lock_now();
        if let Some(entry) = entries.find(key(bucket), now) {
            entry.state.refund(charge);
            // An attempt without a charge must leave no entry.
            if entry.state.count == 0 {
                entries.0.remove(&key(bucket));
            }
        }
        Ok(())
    }

    async fn clear(&self, bucket: &Bucket, _: &TimeBudget) -> Result<(), StoreError> {
        self.entries.lock().0.remove(&key(bucket));
        Ok(())
    }

    async fn knows(&self, device: &BucketKey, _: &TimeBudget) -> Result<bool, StoreError> {
        let (mut entries, now) = self.lock_now();
        Ok(entries.find((DEVICE, *device), now).is_some())
    }

    async fn remember(&self, device: &BucketKey, _: &TimeBudget) -> Result<(), StoreError> {
        let (mut entries, now) = self.lock_now();
        entries.insert((DEVICE, *device), Entry { state: GcraState::default(), expires: now + DEVICE_KNOWN_FOR }, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::super::attempts::Limit;
    use super::*;
    use crate::clock::SystemClock;

    fn key(number: usize) -> BucketKey {
        BucketKey((number as u128).to_be_bytes())
    }

    #[test]
    fn fully_refunded_bucket_is_removed() {
        static LIMIT: Limit = Limit {
            name: "limit",
            charges: &[Duration::from_secs(10)],
            burst: Duration::from_secs(10),
            ttl: Duration::from_hours(24),
            long_ttl_from: u32::MAX,
        };
        let (time, attempts) = (TimeBudget::new(Duration::ZERO), MemoryAttempts::new(Arc::new(SystemClock)));
        let bucket = Bucket { key: key(1), limit: &LIMIT };
        let reserve = || attempts.reserve(&bucket, &time).now_or_never().expect("ready").expect("no error");
        let refund = || attempts.refund(&bucket, LIMIT.charge(1), &time).now_or_never();
        reserve();
        reserve();

        refund();
        assert_eq!(attempts.entries.lock().0.len(), 1);
        refund();

        assert!(attempts.entries.lock().0.is_empty());
    }

    #[test]
    fn full_store_evicts_the_entries_that_expire_first() {
        let (time, attempts) = (TimeBudget::new(Duration::ZERO), MemoryAttempts::new(Arc::new(SystemClock)));
        let remember =
            |number| attempts.remember(&key(number), &time).now_or_never().expect("ready").expect("no error");
        let knows = |number| attempts.knows(&key(number), &time).now_or_never().expect("ready").expect("no error");

        for number in 0..=MAX_ENTRIES {
            remember(number);
        }

        assert!(attempts.entries.lock().0.len() <= MAX_ENTRIES);
        assert!(!knows(0));
        assert!(knows(MAX_ENTRIES - 1) && knows(MAX_ENTRIES));
    }
}
