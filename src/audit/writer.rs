//! The task that writes events to the table and removes those past their retention.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tracing::{error, field::display, info, warn};

use super::{
    batch::{Batch, STATEMENT_TIMEOUT},
    trail::{EventQueue, Trail},
};
use crate::{
    clock::{Clock, jittered},
    metrics::AuditMetrics,
    model::{AuditEvent, EventId},
    store::{AuditStore, StoreError, TimeBudget},
};

/// The maximum number of rows in one statement.
const BATCH: usize = 500;

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
    /// Stops the task after it has written the queue, or at `deadline`. If an error would last until an operator has mended
    /// it, stops after one more attempt. Events that are recorded after this call, or remain in the queue, are in the log
    /// only.
    pub async fn finish(self, deadline: Instant) {
        self.stop.send_replace(true);
        let abort = self.task.abort_handle();
        let has_ended = timeout_at(deadline, self.task).await.is_ok();
        abort.abort();
        let events = self.metrics.pending.get();
        if !has_ended || events > 0 {
            warn!(events, "stopped with unwritten audit events; only the log has them");
        }
    }
}

impl EventQueue {
    /// Writes the queued events once, for a command at its end. Returns their number. Writes all events that the table does not
    /// reject.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the store fails, or rejects an event.
    pub async fn write(mut self, events: &dyn AuditStore) -> Result<usize, StoreError> {
        self.queue.close();
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, BATCH).await > 0 {}
        let mut rejected = None;
        Batch::new(&batch).write(events, |_, error| rejected = Some(error.clone())).await?;
        rejected.map_or(Ok(batch.len()), Err)
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
    /// Writes batches until the task is stopped, and the queue is empty or an operator would have to mend the table. Runs one
    /// statement at a time, so it uses one connection.
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.gather(&mut batch, &mut stop).await {
            if !self.write(&batch, &mut stop).await {
                return;
            }
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

    /// Writes a batch, and retries until it succeeds. Returns false if the task is stopped and the error is not an outage.
    async fn write(&self, events: &[AuditEvent], stop: &mut watch::Receiver<bool>) -> bool {
        let mut batch = Batch::new(events);
        let mut delay = FIRST_RETRY_DELAY;
        let mut previous = None;
        while let Err(error) = self.write_rest(&mut batch).await {
            self.metrics.table_misconfigured.set(i64::from(!error.is_outage()));
            if previous.replace(error.label()) != Some(error.label()) {
                log_failure(&error);
            }
            let is_stopped = *stop.borrow();
            if is_stopped && !error.is_outage() {
                return false;
            }
            if is_stopped {
                sleep(delay).await;
            } else {
                // A stop ends the delay.
                let _ = timeout(delay, stop.wait_for(|stop| *stop)).await;
            }
            delay = (2 * delay).min(MAX_RETRY_DELAY);
        }
        self.metrics.table_misconfigured.set(0);
        if previous.is_some() {
            info!("resumed writing audit events");
        }
        if self.pending.queue.len() <= self.settings.capacity / 2 && self.pending.is_full.swap(false, Ordering::Relaxed)
        {
            info!("audit event queue accepts events again");
        }
        true
    }

    /// Writes what is left of a batch. An event that the table rejects is in the log only.
    async fn write_rest(&self, batch: &mut Batch<'_>) -> Result<(), StoreError> {
        let left = batch.left();
        let outcome = batch.write(&*self.events, |event, reason| {
            self.metrics.dropped_as_rejected.inc();
            let (event, event_id) = (event.kind.name(), display(event.id.0));
            error!(event, event_id, %reason, "audit event rejected by the table; only the log has it");
        });
        let outcome = outcome.await;
        self.metrics.pending.sub(i64::try_from(left - batch.left()).unwrap_or(i64::MAX));
        outcome
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

fn log_failure(error: &StoreError) {
    if error.is_outage() {
        warn!(%error, "failed to write audit events; retrying");
    } else {
        error!(%error, "failed to write audit events; retrying until the table accepts them");
    }
}

#[cfg(test)]
mod tests;
