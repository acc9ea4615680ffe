//! Metrics of the log.

use parking_lot::Mutex;
use prometheus::IntCounterVec;

use super::families;
use super::instruments::Registrar;

/// How many lines of each kind were dropped since the start of the process.
pub type DroppedLines = [(&'static str, u64); 3];

/// Counts dropped log lines; none as long as no log is watched.
pub(super) struct LogDrops {
    dropped: IntCounterVec,
    watched: Mutex<Option<fn() -> DroppedLines>>,
}

impl LogDrops {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        Self { dropped: make.counter(&families::LOG_LINES_DROPPED), watched: Mutex::default() }
    }

    pub(super) fn watch(&self, read: fn() -> DroppedLines) {
        *self.watched.lock() = Some(read);
    }

    /// Updates the counters. Holds the lock to its end: two scrapes at once would both add what is new since the last one.
    pub(super) fn update(&self) {
        let watched = self.watched.lock();
        let Some(read) = *watched else { return };
        for (kind, count) in read() {
            let counter = self.dropped.with_label_values(&[kind]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        thread,
    };

    use prometheus::Registry;

    use super::*;

    #[test]
    fn concurrent_scrapes_count_each_dropped_line_once() {
        static DROPPED: AtomicU64 = AtomicU64::new(0);
        let drops = LogDrops::new(&Registrar(&Registry::new()));
        drops.watch(|| [("audit", DROPPED.fetch_add(1, Ordering::Relaxed) + 1), ("server", 0), ("request", 0)]);

        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50_000).for_each(|_| drops.update()));
            }
        });

        assert_eq!(drops.dropped.with_label_values(&["audit"]).get(), DROPPED.load(Ordering::Relaxed));
    }
}
