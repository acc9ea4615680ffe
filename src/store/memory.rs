//! Attempts in the memory of this process: for the embedded store, and where the shared store cannot be reached.

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

/// How many buckets and devices are kept: some ten megabytes. Where there are more, half of them go, those first that would
/// go soonest anyway.
const MAX_ENTRIES: usize = 100_000;

/// Attempts in memory. What is kept is forgotten when the process ends.
pub struct MemoryAttempts {
    started: Instant,
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: HashMap<Key, Entry>,
}

/// A tag, and what it is for.
type Key = (&'static str, BucketKey);

/// What the tags of devices are for.
const DEVICE: &str = "device";

struct Entry {
    level: GcraState,
    /// Until when it is kept, since the start of the process.
    until: Duration,
}

impl MemoryAttempts {
    /// Nothing has been attempted yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { started: Instant::now(), clock, kept: Mutex::default() }
    }

    /// The time since the start, which no change of the system's clock moves.
    fn now(&self) -> Duration {
        self.started.elapsed() + self.clock.offset()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock()
    }

    /// What is kept, and the time, which is read afterwards: whoever came first has the earlier one.
    fn kept_now(&self) -> (MutexGuard<'_, Kept>, Duration) {
        let kept = self.kept();
        (kept, self.now())
    }
}

impl Kept {
    fn find(&mut self, key: Key, now: Duration) -> Option<&mut Entry> {
        self.entries.get_mut(&key).filter(|entry| entry.until > now)
    }

    fn keep(&mut self, key: Key, entry: Entry, now: Duration) {
        if self.entries.len() >= MAX_ENTRIES {
            self.evict_if_full(now);
        }
        self.entries.insert(key, entry);
    }

    fn evict_if_full(&mut self, now: Duration) {
        self.entries.retain(|_, entry| entry.until > now);
        if self.entries.len() < MAX_ENTRIES {
            return;
        }
        let mut ends: Vec<_> = self.entries.values().map(|entry| entry.until).collect();
        let middle = ends.len() / 2;
        let (_, median, _) = ends.select_nth_unstable(middle);
        let median = *median;
        self.entries.retain(|_, entry| entry.until > median);
    }
}

fn key(bucket: &Bucket) -> Key {
    (bucket.limit.name, bucket.key)
}

#[async_trait]
impl AttemptStore for MemoryAttempts {
    async fn reserve(&self, bucket: &Bucket, _: &TimeBudget) -> Result<ReserveOutcome, StoreError> {
        let (mut kept, now) = self.kept_now();
        let mut level = kept.find(key(bucket), now).map(|entry| entry.level).unwrap_or_default();
        let reservation = level.reserve(bucket.limit, now);
        if matches!(reservation, ReserveOutcome::Made { .. }) {
            kept.keep(key(bucket), Entry { level, until: level.kept_until(bucket.limit, now) }, now);
        }
        Ok(reservation)
    }

    async fn refund(&self, bucket: &Bucket, charge: Duration, _: &TimeBudget) -> Result<(), StoreError> {
        let (mut kept, now) = self.kept_now();
        if let Some(entry) = kept.find(key(bucket), now) {
            entry.level.refund(charge);
            // What is refused costs its sender nothing, and so must leave nothing behind.
            if entry.level.count == 0 {
                kept.entries.remove(&key(bucket));
            }
        }
        Ok(())
    }

    async fn clear(&self, bucket: &Bucket, _: &TimeBudget) -> Result<(), StoreError> {
        self.kept().entries.remove(&key(bucket));
        Ok(())
    }

    async fn knows(&self, device: &BucketKey, _: &TimeBudget) -> Result<bool, StoreError> {
        let (mut kept, now) = self.kept_now();
        Ok(kept.find((DEVICE, *device), now).is_some())
    }

    async fn remember(&self, device: &BucketKey, _: &TimeBudget) -> Result<(), StoreError> {
        let (mut kept, now) = self.kept_now();
        kept.keep((DEVICE, *device), Entry { level: GcraState::default(), until: now + DEVICE_KNOWN_FOR }, now);
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
    fn a_bucket_that_has_got_everything_back_is_no_more() {
        static LIMIT: Limit = Limit {
            name: "limit",
            charges: &[Duration::from_secs(10)],
            burst: Duration::from_secs(10),
            ttl: Duration::from_hours(24),
            kept_on_from: u32::MAX,
        };
        let (time, attempts) = (TimeBudget::of(Duration::ZERO), MemoryAttempts::new(Arc::new(SystemClock)));
        let bucket = Bucket { key: key(1), limit: &LIMIT };
        let reserve = || attempts.reserve(&bucket, &time).now_or_never().expect("no waiting").expect("memory");
        let refund = || attempts.refund(&bucket, LIMIT.charge(1), &time).now_or_never();
        reserve();
        reserve();

        refund();
        assert_eq!(attempts.kept().entries.len(), 1);
        refund();

        assert!(attempts.kept().entries.is_empty());
    }

    #[test]
    fn where_there_are_too_many_those_go_that_would_go_soonest() {
        let (time, attempts) = (TimeBudget::of(Duration::ZERO), MemoryAttempts::new(Arc::new(SystemClock)));
        let remember =
            |number| attempts.remember(&key(number), &time).now_or_never().expect("no waiting").expect("memory");
        let knows = |number| attempts.knows(&key(number), &time).now_or_never().expect("no waiting").expect("memory");

        for number in 0..=MAX_ENTRIES {
            remember(number);
        }

        assert!(attempts.kept().entries.len() <= MAX_ENTRIES);
        assert!(!knows(0));
        assert!(knows(MAX_ENTRIES - 1) && knows(MAX_ENTRIES));
    }
}
