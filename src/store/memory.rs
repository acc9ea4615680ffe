//! Attempts in the memory of this process: for the embedded store, and where the shared store cannot be reached.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;

use super::{
    attempts::{Attempts, Bucket, DEVICE_KNOWN_FOR, Level, Reservation, Tag},
    error::StoreError,
    time_budget::StoreTime,
};
use crate::clock::Clock;

/// How many buckets and devices are kept: some ten megabytes. Where there are more, half of them go, those first that would
/// go soonest anyway.
const MOST_ENTRIES: usize = 100_000;

/// Attempts in memory. What is kept is forgotten when the process ends.
pub struct LocalAttempts {
    started: Instant,
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: HashMap<Key, Entry>,
}

/// A tag, and what it is for.
type Key = (&'static str, Tag);

/// What the tags of devices are for.
const DEVICE: &str = "device";

struct Entry {
    level: Level,
    /// Until when it is kept, since the start of the process.
    until: Duration,
}

impl LocalAttempts {
    /// Nothing has been attempted yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { started: Instant::now(), clock, kept: Mutex::default() }
    }

    /// The time since the start, which no change of the system's clock moves.
    fn now(&self) -> Duration {
        self.started.elapsed() + self.clock.ahead()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
        if self.entries.len() >= MOST_ENTRIES {
            self.make_room(now);
        }
        self.entries.insert(key, entry);
    }

    fn make_room(&mut self, now: Duration) {
        self.entries.retain(|_, entry| entry.until > now);
        if self.entries.len() < MOST_ENTRIES {
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
    (bucket.limit.name, bucket.tag)
}

#[async_trait]
impl Attempts for LocalAttempts {
    async fn reserve(&self, bucket: &Bucket, _: &StoreTime) -> Result<Reservation, StoreError> {
        let (mut kept, now) = self.kept_now();
        let mut level = kept.find(key(bucket), now).map(|entry| entry.level).unwrap_or_default();
        let reservation = level.reserve(bucket.limit, now);
        if matches!(reservation, Reservation::Made { .. }) {
            kept.keep(key(bucket), Entry { level, until: level.kept_until(bucket.limit, now) }, now);
        }
        Ok(reservation)
    }

    async fn give_back(&self, bucket: &Bucket, charge: Duration, _: &StoreTime) -> Result<(), StoreError> {
        let (mut kept, now) = self.kept_now();
        if let Some(entry) = kept.find(key(bucket), now) {
            entry.level.give_back(charge);
            // What is refused costs its sender nothing, and so must leave nothing behind.
            if entry.level.count == 0 {
                kept.entries.remove(&key(bucket));
            }
        }
        Ok(())
    }

    async fn clear(&self, bucket: &Bucket, _: &StoreTime) -> Result<(), StoreError> {
        self.kept().entries.remove(&key(bucket));
        Ok(())
    }

    async fn knows(&self, device: &Tag, _: &StoreTime) -> Result<bool, StoreError> {
        let (mut kept, now) = self.kept_now();
        Ok(kept.find((DEVICE, *device), now).is_some())
    }

    async fn remember(&self, device: &Tag, _: &StoreTime) -> Result<(), StoreError> {
        let (mut kept, now) = self.kept_now();
        kept.keep((DEVICE, *device), Entry { level: Level::default(), until: now + DEVICE_KNOWN_FOR }, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::super::attempts::Limit;
    use super::*;
    use crate::clock::SystemClock;

    fn tag(number: usize) -> Tag {
        Tag((number as u128).to_be_bytes())
    }

    #[test]
    fn a_bucket_that_has_got_everything_back_is_no_more() {
        static LIMIT: Limit = Limit {
            name: "limit",
            charges: &[Duration::from_secs(10)],
            tolerance: Duration::from_secs(10),
            kept_for: Duration::from_hours(24),
            kept_on_from: u32::MAX,
        };
        let (time, attempts) = (StoreTime::of(Duration::ZERO), LocalAttempts::new(Arc::new(SystemClock)));
        let bucket = Bucket { tag: tag(1), limit: &LIMIT };
        let reserve = || attempts.reserve(&bucket, &time).now_or_never().expect("no waiting").expect("memory");
        let give_back = || attempts.give_back(&bucket, LIMIT.charge(1), &time).now_or_never();
        reserve();
        reserve();

        give_back();
        assert_eq!(attempts.kept().entries.len(), 1);
        give_back();

        assert!(attempts.kept().entries.is_empty());
    }

    #[test]
    fn where_there_are_too_many_those_go_that_would_go_soonest() {
        let (time, attempts) = (StoreTime::of(Duration::ZERO), LocalAttempts::new(Arc::new(SystemClock)));
        let remember =
            |number| attempts.remember(&tag(number), &time).now_or_never().expect("no waiting").expect("memory");
        let knows = |number| attempts.knows(&tag(number), &time).now_or_never().expect("no waiting").expect("memory");

        for number in 0..=MOST_ENTRIES {
            remember(number);
        }

        assert!(attempts.kept().entries.len() <= MOST_ENTRIES);
        assert!(!knows(0));
        assert!(knows(MOST_ENTRIES - 1) && knows(MOST_ENTRIES));
    }
}
