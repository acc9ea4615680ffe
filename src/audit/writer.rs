//! The task that writes the table, and removes from it what is past its retention.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tracing::{info, warn};

use super::trail::{EventQueue, Trail};
use crate::{
    clock::{Clock, jittered},
    metrics::AuditMetrics,
    model::{AuditEvent, EventId},
    store::{AuditStore, StoreError, TimeBudget},
};

/// How many rows are written at once.
const BATCH: usize = 500;

/// How long a statement may take. Nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How soon after a failure the batch is written again: twice as long each time, up to the second of these.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often old events are looked for, give or take a tenth, so that replicas do not prune together; the first time a few minutes after the start.
const PRUNING_INTERVAL: Duration = Duration::from_hours(1);
const FIRST_PRUNING: Duration = Duration::from_mins(5);

/// How many are removed at once, and how soon more follow where there are more.
const PRUNED_AT_ONCE: u32 = 1000;
const BETWEEN_PRUNINGS: Duration = Duration::from_millis(100);

/// How events are kept.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long they stay in the table (default 365 d, as PCI DSS 4.0.1, requirement 10.5.1, asks for); `None` for ever.
    pub retention: Option<Duration>,
    /// How many wait for the table at most: with some 500 bytes each, 5 MB where the store is away.
    pub capacity: usize,
    /// How long the first of a batch waits for others.
    pub linger: Duration,
}

impl Settings {
    /// Events are kept for so long; 10,000 may wait, and a batch is written each second.
    #[must_use]
    pub fn keeping(retention: Option<Duration>) -> Self {
        Self { retention, capacity: 10_000, linger: Duration::from_secs(1) }
    }
}

/// The task that writes the table.
pub struct WriterHandle {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    metrics: AuditMetrics,
}

/// A trail whose events go to this table, by way of a task that runs until it is finished.
#[must_use]
pub fn start(
    events: Arc<dyn AuditStore>,
    clock: Arc<dyn Clock>,
    metrics: AuditMetrics,
    settings: Settings,
) -> (Trail, WriterHandle) {
    let (trail, pending) = Trail::new(Arc::clone(&clock), metrics.clone(), settings.capacity);
    let (stop, stopped) = watch::channel(false);
    let next_pruning = Instant::now() + jittered(FIRST_PRUNING);
    let writer = Writer { pending, events, clock, metrics: metrics.clone(), settings, next_pruning };
    (trail, WriterHandle { stop, task: tokio::spawn(writer.run(stopped)), metrics })
}

impl WriterHandle {
    /// Writes what there is until then. What comes after this was called, or is left at the end, is in the log alone.
    pub async fn finish(self, deadline: Instant) {
        self.stop.send_replace(true);
        let abort = self.task.abort_handle();
        if timeout_at(deadline, self.task).await.is_err() {
            abort.abort();
            let events = self.metrics.pending.get();
            warn!(events, "audit events have not reached the table; the log has them");
        }
    }
}

impl EventQueue {
    /// Writes what there is, once: for a command, which records no more. Returns how many there were.
    ///
    /// # Errors
    /// What the store says.
    pub async fn write(mut self, events: &dyn AuditStore) -> Result<usize, StoreError> {
        self.queue.close();
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, BATCH).await > 0 {}
        if !batch.is_empty() {
            events.append(&batch, &TimeBudget::new(PATIENCE)).await?;
        }
        Ok(batch.len())
    }
}

struct Writer {
    pending: EventQueue,
    events: Arc<dyn AuditStore>,
    clock: Arc<dyn Clock>,
    metrics: AuditMetrics,
    settings: Settings,
    next_pruning: Instant,
}

impl Writer {
    /// Until it is to stop and nothing is left. It has one statement under way at a time, and so one connection.
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.gather(&mut batch, &mut stop).await {
            self.write(&batch).await;
            batch.clear();
            if self.next_pruning <= Instant::now() {
                self.prune().await;
            }
        }
    }

    /// Waits until there is a batch to write, or something to prune; false where there will not be any more.
    async fn gather(&mut self, batch: &mut Vec<AuditEvent>, stop: &mut watch::Receiver<bool>) -> bool {
        let mut due = self.next_pruning;
        loop {
            let wanted = BATCH - batch.len();
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop), if !self.pending.queue.is_closed() => self.pending.queue.close(),
                received = self.pending.queue.recv_many(batch, wanted) => {
                    if received == 0 || batch.len() == BATCH {
                        return !batch.is_empty();
                    }
                    due = due.min(Instant::now() + self.settings.linger);
                }
                () = sleep_until(due) => return true,
            }
        }
    }

    /// Until it is written.
    async fn write(&self, batch: &[AuditEvent]) {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.append(batch).await {
            if pause == FIRST_PAUSE {
                warn!(%error, "audit events cannot be written; they wait, and the log has them");
            }
            sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
        if pause > FIRST_PAUSE {
            info!("audit events are written again");
        }
        self.metrics.pending.sub(i64::try_from(batch.len()).unwrap_or(i64::MAX));
        if self.pending.queue.len() <= self.settings.capacity / 2 && self.pending.is_full.swap(false, Ordering::Relaxed)
        {
            info!("the queue of audit events has room again");
        }
    }

    async fn append(&self, batch: &[AuditEvent]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.events.append(batch, &TimeBudget::new(PATIENCE)).await
    }

    /// Removes some events that are past their retention, and says when to look again.
    async fn prune(&mut self) {
        self.next_pruning = Instant::now() + jittered(PRUNING_INTERVAL);
        let Some(retention) = self.settings.retention else { return };
        let before = EventId::first_at(self.clock.now() - retention);
        match self.events.prune(before, PRUNED_AT_ONCE, &TimeBudget::new(PATIENCE)).await {
            Ok(removed) if removed == u64::from(PRUNED_AT_ONCE) => {
                self.next_pruning = Instant::now() + BETWEEN_PRUNINGS;
            }
            Ok(_) => {}
            Err(error) => warn!(%error, "old audit events could not be removed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::model::{AuditOrigin, EventKind, EventQuery};
    use crate::{clock::SystemClock, metrics::Metrics};

    /// What a table was asked for, and how often it has yet to fail.
    #[derive(Default)]
    struct Table {
        appended: Mutex<Vec<usize>>,
        pruned: Mutex<Vec<EventId>>,
        failures: Mutex<u32>,
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
                return Err(StoreError::Unavailable { store: "table", reason: "on purpose".to_owned() });
            }
            self.appended.lock().push(events.len());
            Ok(())
        }

        async fn list(&self, _: &EventQuery, _: &TimeBudget) -> Result<Vec<AuditEvent>, StoreError> {
            Ok(Vec::new())
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
        let (trail, writing) = start(table.clone(), Arc::new(SystemClock), metrics.audit.clone(), settings);
        (trail, writing, metrics)
    }

    fn record(trail: &Trail, count: usize) {
        for _ in 0..count {
            trail.record(EventKind::Login, None, AuditOrigin::server());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_written_together_each_second_or_as_soon_as_a_batch_is_full() {
        let table = Arc::new(Table::default());
        let (trail, _writing, metrics) = started(&table);

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
    async fn what_the_store_does_not_take_is_written_again_until_it_does() {
        let table = Arc::new(Table { failures: Mutex::new(20), ..Table::default() });
        let (trail, _writing, metrics) = started(&table);

        record(&trail, 3);
        sleep(Duration::from_secs(30)).await;
        record(&trail, 4);
        assert_eq!((table.appended().len(), metrics.audit.pending.get()), (0, 7));

        sleep(Duration::from_mins(2)).await;
        assert_eq!(table.appended(), [3, 4]);
        assert_eq!(metrics.audit.pending.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_what_is_left_and_no_longer_than_it_may() {
        let table = Arc::new(Table::default());
        let (trail, writing, metrics) = started(&table);
        record(&trail, BATCH + 7);
        let began = Instant::now();
        writing.finish(began + Duration::from_secs(20)).await;
        assert_eq!((table.appended(), metrics.audit.pending.get()), (vec![BATCH, 7], 0));
        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());

        // What comes later is in the log alone.
        record(&trail, 1);
        assert_eq!(metrics.audit.dropped_from_full_queue.get(), 1);

        let table = Arc::new(Table { failures: Mutex::new(u32::MAX), ..Table::default() });
        let (trail, writing, _) = started(&table);
        record(&trail, 1);
        let began = Instant::now();
        writing.finish(began + Duration::from_secs(20)).await;
        assert_eq!(began.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn old_events_are_removed_each_hour_until_none_is_left() {
        let table = Arc::new(Table { old: Mutex::new(2500), ..Table::default() });
        let (_trail, _writing, _) = started(&table);

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
        assert!(
            before <= EventId::first_at(now - DAY) && before > EventId::first_at(now - DAY - Duration::from_mins(5))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_retention_nothing_is_removed() {
        let (table, metrics) = (Arc::new(Table::default()), Metrics::new(""));
        let settings = Settings::keeping(None);
        let _running = start(table.clone(), Arc::new(SystemClock), metrics.audit.clone(), settings);

        sleep(7 * DAY).await;

        assert_eq!(table.prunings(), 0);
    }
}
