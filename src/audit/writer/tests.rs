//! Tests of the writer.

use parking_lot::Mutex;

use async_trait::async_trait;

use super::*;
use crate::model::{AuditOrigin, EventKind};
use crate::{clock::SystemClock, metrics::Metrics};

/// A table that records its calls, and fails the next `failures` writes, as an outage or because it is misconfigured.
#[derive(Default)]
struct Table {
    appended: Mutex<Vec<usize>>,
    pruned: Mutex<Vec<EventId>>,
    failures: Mutex<u32>,
    is_misconfigured: bool,
    old: Mutex<u64>,
}

impl Table {
    fn appended(&self) -> Vec<usize> {
        self.appended.lock().clone()
    }

    fn prunings(&self) -> usize {
        self.pruned.lock().len()
    }
}

#[async_trait]
impl AuditStore for Table {
    async fn append(&self, events: &[AuditEvent], _: &TimeBudget) -> Result<(), StoreError> {
        let mut failures = self.failures.lock();
        if *failures > 0 {
            *failures -= 1;
            let (store, reason) = ("table", "on purpose".to_owned());
            let misconfigured = StoreError::Misconfigured { store, reason: reason.clone() };
            return Err(if self.is_misconfigured { misconfigured } else { StoreError::Unavailable { store, reason } });
        }
        self.appended.lock().push(events.len());
        Ok(())
    }

    async fn prune(&self, before: EventId, limit: u32, _: &TimeBudget) -> Result<u64, StoreError> {
        self.pruned.lock().push(before);
        let mut old = self.old.lock();
        let removed = (*old).min(limit.into());
        *old -= removed;
        Ok(removed)
    }
}

const DAY: Duration = Duration::from_hours(24);

fn started(table: &Arc<Table>) -> (Trail, WriterHandle, Metrics) {
    let metrics = Metrics::new("");
    let settings = Settings::keeping(Some(DAY));
    let (trail, writer) = start(table.clone(), Arc::new(SystemClock), metrics.audit.clone(), settings);
    (trail, writer, metrics)
}

fn record(trail: &Trail, count: usize) {
    for _ in 0..count {
        trail.record(EventKind::Login, None, AuditOrigin::server());
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_written_each_second_or_in_full_batches() {
    let table = Arc::new(Table::default());
    let (trail, _writer, metrics) = started(&table);

    record(&trail, 3);
    sleep(Duration::from_millis(900)).await;
    record(&trail, 2);
    assert!(table.appended().is_empty());
    sleep(Duration::from_millis(200)).await;
    assert_eq!(table.appended(), [5]);

    record(&trail, 2 * BATCH + 1);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(table.appended(), [5, BATCH, BATCH]);
    assert_eq!(metrics.audit.pending.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn failed_batch_is_retried_until_it_is_written() {
    let table = Arc::new(Table { failures: Mutex::new(20), ..Table::default() });
    let (trail, _writer, metrics) = started(&table);

    record(&trail, 3);
    sleep(Duration::from_secs(30)).await;
    record(&trail, 4);
    assert_eq!((table.appended().len(), metrics.audit.pending.get()), (0, 7));

    sleep(Duration::from_mins(2)).await;
    assert_eq!(table.appended(), [3, 4]);
    assert_eq!(metrics.audit.pending.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn finish_writes_the_queue_until_its_deadline() {
    let table = Arc::new(Table::default());
    let (trail, writer, metrics) = started(&table);
    record(&trail, BATCH + 7);
    let began = Instant::now();
    writer.finish(began + Duration::from_secs(20)).await;
    assert_eq!((table.appended(), metrics.audit.pending.get()), (vec![BATCH, 7], 0));
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());

    // Later events are in the log only.
    record(&trail, 1);
    assert_eq!(metrics.audit.dropped_from_full_queue.get(), 1);

    let table = Arc::new(Table { failures: Mutex::new(u32::MAX), ..Table::default() });
    let (trail, writer, _) = started(&table);
    record(&trail, 1);
    let began = Instant::now();
    writer.finish(began + Duration::from_secs(20)).await;
    assert_eq!(began.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn misconfigured_table_is_retried_and_reported() {
    let table = Arc::new(Table { failures: Mutex::new(20), is_misconfigured: true, ..Table::default() });
    let (trail, _writer, metrics) = started(&table);

    record(&trail, 3);
    sleep(Duration::from_secs(30)).await;
    assert_eq!((metrics.audit.table_misconfigured.get(), metrics.audit.pending.get()), (1, 3));

    sleep(Duration::from_mins(2)).await;
    assert_eq!(table.appended(), [3]);
    assert_eq!((metrics.audit.table_misconfigured.get(), metrics.audit.pending.get()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn finish_tries_a_misconfigured_table_once() {
    for (waits, attempts) in [(Duration::ZERO, 1), (Duration::from_mins(1), 18)] {
        let table = Table { failures: Mutex::new(u32::MAX), is_misconfigured: true, ..Table::default() };
        let table = Arc::new(table);
        let (trail, writer, metrics) = started(&table);
        record(&trail, BATCH + 7);
        sleep(waits).await;

        let began = Instant::now();
        writer.finish(began + Duration::from_secs(20)).await;

        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
        assert_eq!((u32::MAX - *table.failures.lock(), metrics.audit.pending.get()), (attempts, 507));
    }
}

#[tokio::test(start_paused = true)]
async fn old_events_are_removed_each_hour_in_batches() {
    let table = Arc::new(Table { old: Mutex::new(2500), ..Table::default() });
    let (_trail, _writer, _) = started(&table);

    sleep(Duration::from_mins(4)).await;
    assert_eq!(table.prunings(), 0);
    sleep(Duration::from_mins(2)).await;
    assert_eq!((table.prunings(), *table.old.lock()), (3, 0));
    sleep(Duration::from_mins(46)).await;
    assert_eq!(table.prunings(), 3);
    sleep(Duration::from_mins(20)).await;
    assert_eq!(table.prunings(), 4);

    let now = SystemClock.now();
    let before = *table.pruned.lock().last().expect("an id");
    assert!(before <= EventId::first_at(now - DAY) && before > EventId::first_at(now - DAY - Duration::from_mins(5)));
}

#[tokio::test(start_paused = true)]
async fn without_retention_no_event_is_removed() {
    let (table, metrics) = (Arc::new(Table::default()), Metrics::new(""));
    let settings = Settings::keeping(None);
    let _running = start(table.clone(), Arc::new(SystemClock), metrics.audit.clone(), settings);

    sleep(7 * DAY).await;

    assert_eq!(table.prunings(), 0);
}
