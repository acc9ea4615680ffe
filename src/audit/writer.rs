//! The task that writes events to the table and removes those past their retention.

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

/// The maximum number of rows in one statement.
const BATCH: usize = 500;

/// The time limit of a statement. No request waits for it.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// The delay before a failed batch is retried. It doubles up to [`MAX_RETRY_DELAY`].
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(100);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// The interval between prunings, ±10 % so that replicas do not prune at the same time, and the delay of the first one.
const PRUNING_INTERVAL: Duration = Duration::from_hours(1);
const FIRST_PRUNING: Duration = Duration::from_mins(5);

/// The maximum number of events that one statement removes, and the delay before the next statement if it removed as many.
const PRUNE_BATCH: u32 = 1000;
const PRUNE_BATCH_DELAY: Duration = Duration::from_millis(100);

/// How events are queued and kept.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long events stay in the table (default 365 d, as PCI DSS 4.0.1, requirement 10.5.1, requires); `None` for ever.
    pub retention: Option<Duration>,
    /// How many events may wait for the table: at about 500 bytes each, 10,000 use 5 MB while the store is unavailable.
    pub capacity: usize,
    /// How long the first event of a batch waits for others.
    pub linger: Duration,
}

impl Settings {
    /// Returns settings with this retention, a queue of 10,000 events and a batch each second.
    #[must_use]
    pub fn keeping(retention: Option<Duration>) -> Self {
        Self { retention, capacity: 10_000, linger: Duration::from_secs(1) }
    }
}

/// A handle to the task that writes the table.
pub struct WriterHandle {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    metrics: AuditMetrics,
}

/// Starts the task that writes to `events`, and returns the trail whose events it writes.
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
    /// Stops the task after it has written the queue, or at `deadline`. Events that are recorded after this call, or remain
    /// in the queue at the deadline, are in the log only.
    pub async fn finish(self, deadline: Instant) {
        self.stop.send_replace(true);
        let abort = self.task.abort_handle();
        if timeout_at(deadline, self.task).await.is_err() {
            abort.abort();
            let events = self.metrics.pending.get();
            warn!(events, "stopped with unwritten audit events; only the log has them");
        }
    }
}

impl EventQueue {
    /// Writes the queued events once, for a command at its end. Returns their number.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails.
    pub async fn write(mut self, events: &dyn AuditStore) -> Result<usize, StoreError> {
        self.queue.close();
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, BATCH).await > 0 {}
        if !batch.is_empty() {
            events.append(&batch, &TimeBudget::new(STATEMENT_TIMEOUT)).await?;
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
    /// Writes batches until the task is stopped and the queue is empty. Runs one statement at a time, so it uses one
    /// connection.
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

    /// Collects a batch until it is full, its linger has passed or a pruning is due. Returns false if the queue is closed and
    /// empty.
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

    /// Writes a batch, and retries until it succeeds.
    async fn write(&self, batch: &[AuditEvent]) {
        let mut delay = FIRST_RETRY_DELAY;
        while let Err(error) = self.append(batch).await {
            if delay == FIRST_RETRY_DELAY {
                warn!(%error, "failed to write audit events; retrying");
            }
            sleep(delay).await;
            delay = (2 * delay).min(MAX_RETRY_DELAY);
        }
        if delay > FIRST_RETRY_DELAY {
            info!("resumed writing audit events");
        }
        self.metrics.pending.sub(i64::try_from(batch.len()).unwrap_or(i64::MAX));
        if self.pending.queue.len() <= self.settings.capacity / 2 && self.pending.is_full.swap(false, Ordering::Relaxed)
        {
            info!("audit event queue accepts events again");
        }
    }

    async fn append(&self, batch: &[AuditEvent]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.events.append(batch, &TimeBudget::new(STATEMENT_TIMEOUT)).await
    }

    /// Removes a batch of events past their retention, and schedules the next pruning.
    async fn prune(&mut self) {
        self.next_pruning = Instant::now() + jittered(PRUNING_INTERVAL);
        let Some(retention) = self.settings.retention else { return };
        let before = EventId::first_at(self.clock.now() - retention);
        match self.events.prune(before, PRUNE_BATCH, &TimeBudget::new(STATEMENT_TIMEOUT)).await {
            Ok(removed) if removed == u64::from(PRUNE_BATCH) => {
                self.next_pruning = Instant::now() + PRUNE_BATCH_DELAY;
            }
            Ok(_) => {}
            Err(error) => warn!(%error, "failed to remove old audit events"),
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

    /// A table that records its calls, and fails the next `failures` writes.
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
        assert!(
            before <= EventId::first_at(now - DAY) && before > EventId::first_at(now - DAY - Duration::from_mins(5))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_retention_no_event_is_removed() {
        let (table, metrics) = (Arc::new(Table::default()), Metrics::new(""));
        let settings = Settings::keeping(None);
        let _running = start(table.clone(), Arc::new(SystemClock), metrics.audit.clone(), settings);

        sleep(7 * DAY).await;

        assert_eq!(table.prunings(), 0);
    }
}
