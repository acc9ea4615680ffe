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

    /// Updates the counters.
    pub(super) fn update(&self) {
        let Some(read) = *self.watched.lock() else { return };
        for (kind, count) in read() {
            let counter = self.dropped.with_label_values(&[kind]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}
