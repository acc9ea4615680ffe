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
        hint,
        sync::atomic::{AtomicU32, Ordering},
        thread,
    };

    use prometheus::Registry;

    use super::*;

    #[test]
    fn concurrent_scrapes_count_each_dropped_line_once() {
        static READERS: AtomicU32 = AtomicU32::new(0);

        for _ in 0..3000 {
            let drops = LogDrops::new(&Registrar(&Registry::new()));
            READERS.store(0, Ordering::Relaxed);
            // Returns to both threads at once, if both can be here.
            drops.watch(|| {
                READERS.fetch_add(1, Ordering::Relaxed);
                (0..5000).take_while(|_| READERS.load(Ordering::Relaxed) < 2).for_each(|_| hint::spin_loop());
                ["audit", "server", "request"].map(|kind| (kind, 7))
            });

            thread::scope(|scope| {
                scope.spawn(|| drops.update());
                scope.spawn(|| drops.update());
            });

            let counted = ["audit", "server", "request"].map(|kind| drops.dropped.with_label_values(&[kind]).get());
            assert_eq!(counted, [7, 7, 7]);
        }
    }
}
