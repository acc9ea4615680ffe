//! The trail: logs events and queues them for the table.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::{
    sync::mpsc::{self, Receiver, Sender, error::TrySendError},
    time::Instant,
};
use tracing::{field::display, info, warn};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::{
    clock::{Clock, whole_milliseconds},
    metrics::AuditMetrics,
    model::{AuditEvent, AuditOrigin, AuditSubject, DisplayText, EventId, EventKind},
    rate_cap::RateCap,
};

/// The log target of audit events, except those of [`FREE_LOG_TARGET`]. The log writes them at every level but `off`.
pub const LOG_TARGET: &str = "audit";

/// The log target of audit events that one client can repeat at no cost. Begins with [`LOG_TARGET`], so that the log writes
/// them at the same levels; if it is not read in time, they count as requests and displace no other audit event.
pub const FREE_LOG_TARGET: &str = "audit::free";

/// How many events per second that are free to cause get a row in the table, so that a flood cannot fill the disk: at
/// about 300 bytes each, at most 1.3 GB a day. The log has no such limit.
const FREE_EVENTS_PER_SECOND: u32 = 50;

/// Records events. A clone records into the same queue.
#[derive(Clone)]
pub struct Trail(Arc<TrailState>);

struct TrailState {
    clock: Arc<dyn Clock>,
    metrics: AuditMetrics,
    queue: Sender<AuditEvent>,
    /// A lock of the standard library, because `uuid` implements its clock sequence for that one only.
    ids: std::sync::Mutex<ContextV7>,
    rate_cap: Mutex<RateCap>,
    is_full: Arc<AtomicBool>,
}

/// Events that wait for the table.
pub struct EventQueue {
    pub(super) queue: Receiver<AuditEvent>,
    pub(super) is_full: Arc<AtomicBool>,
}

impl Trail {
    /// Creates a trail and its queue, which holds `capacity` events.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, metrics: AuditMetrics, capacity: usize) -> (Self, EventQueue) {
        let (sender, queue) = mpsc::channel(capacity);
        let is_full = Arc::new(AtomicBool::new(false));
        let pending = EventQueue { queue, is_full: Arc::clone(&is_full) };
        let ids = std::sync::Mutex::new(ContextV7::new());
        let rate_cap = Mutex::new(RateCap::new(FREE_EVENTS_PER_SECOND, Duration::from_secs(1)));
        let shared = TrailState { clock, metrics, queue: sender, ids, rate_cap, is_full };
        (Self(Arc::new(shared)), pending)
    }

    /// Logs an event and adds it to the queue for the table. If the queue is full, drops it from the table and counts it.
    /// Never blocks.
    pub fn record(&self, kind: EventKind, subject: impl Into<AuditSubject>, origin: impl Into<AuditOrigin>) {
        let event = self.event(kind, subject, origin);
        log(&event);
        self.0.queue(event);
    }

    /// Returns an event that the caller inserts in the statement that it is about. [`Trail::record_inserted`] follows.
    #[must_use]
    pub fn event(
        &self,
        kind: EventKind,
        subject: impl Into<AuditSubject>,
        origin: impl Into<AuditOrigin>,
    ) -> AuditEvent {
        let at = whole_milliseconds(self.0.clock.now());
        AuditEvent { id: self.0.id(at), at, kind, subject: subject.into(), origin: origin.into() }
    }

    /// Logs an event that is in the table already.
    pub fn record_inserted(&self, event: &AuditEvent) {
        log(event);
    }
}

impl TrailState {
    fn id(&self, time: OffsetDateTime) -> EventId {
        let seconds = u64::try_from(time.unix_timestamp()).unwrap_or_default();
        EventId(Uuid::new_v7(Timestamp::from_unix(&self.ids, seconds, time.nanosecond())))
    }

    fn queue(&self, event: AuditEvent) {
        if event.kind.is_free_to_cause() && !self.rate_cap.lock().allows(Instant::now()) {
            self.metrics.dropped_in_flood.inc();
            return;
        }
        self.metrics.pending.inc();
        if let Err(error) = self.queue.try_send(event) {
            self.metrics.pending.dec();
            self.metrics.dropped_from_full_queue.inc();
            if matches!(error, TrySendError::Full(_)) && !self.is_full.swap(true, Ordering::Relaxed) {
                warn!("audit event queue full; dropping events from the table, not from the log");
            }
        }
    }
}

/// Logs an event as one line. Only the target depends on the cost of the event, and the log does not show it.
fn log(event: &AuditEvent) {
    let AuditEvent { id, kind, subject, origin, .. } = event;
    let (is_free, is_warning) = (kind.is_free_to_cause(), kind.is_warning());
    let (event, event_id) = (kind.name(), display(id.0));
    let (user, session, detail) = (subject.user.map(display), subject.session.map(display), subject.detail.as_deref());
    let address = origin.address.map(display);
    let (user_agent, request_id) = (origin.user_agent.as_ref().map(DisplayText::as_str), origin.request_id.as_deref());
    let actor = origin.actor.as_deref();
    if is_free {
        info!(target: FREE_LOG_TARGET, event, event_id, user, session, address, user_agent, request_id, actor, detail, "audit");
    } else if is_warning {
        warn!(target: LOG_TARGET, event, event_id, user, session, address, user_agent, request_id, actor, detail, "audit");
    } else {
        info!(target: LOG_TARGET, event, event_id, user, session, address, user_agent, request_id, actor, detail, "audit");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemClock, metrics::Metrics};

    fn trail(capacity: usize) -> (Trail, EventQueue, Metrics) {
        let metrics = Metrics::new("");
        let (trail, pending) = Trail::new(Arc::new(SystemClock), metrics.audit.clone(), capacity);
        (trail, pending, metrics)
    }

    #[tokio::test]
    async fn events_beyond_the_queue_are_counted_and_dropped() {
        let (trail, mut pending, metrics) = trail(2);

        for kind in [EventKind::SignUp, EventKind::Login, EventKind::Logout] {
            trail.record(kind, None, AuditOrigin::server());
        }

        let text = metrics.render();
        assert!(text.contains("\npostern_audit_events_dropped_total{reason=\"queue_full\"} 1\n"), "{text}");
        assert!(text.contains("\npostern_audit_events_pending 2\n"), "{text}");
        let queued = [pending.queue.try_recv(), pending.queue.try_recv()].map(|event| event.map(|event| event.kind));
        assert_eq!(queued, [Ok(EventKind::SignUp), Ok(EventKind::Login)]);
    }

    #[tokio::test(start_paused = true)]
    async fn flood_of_free_events_is_capped_and_displaces_no_other() {
        let (trail, mut pending, metrics) = trail(1000);
        let flood = || {
            for _ in 0..80 {
                trail.record(EventKind::Throttled, None, AuditOrigin::server());
            }
        };

        flood();
        trail.record(EventKind::RefreshTokenTheft, None, AuditOrigin::server());
        tokio::time::advance(Duration::from_secs(1)).await;
        flood();

        let kinds: Vec<_> = std::iter::from_fn(|| pending.queue.try_recv().ok()).map(|event| event.kind).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Throttled).count(), 100);
        assert_eq!(kinds[50], EventKind::RefreshTokenTheft);
        let text = metrics.render();
        assert!(text.contains("\npostern_audit_events_dropped_total{reason=\"flood\"} 60\n"), "{text}");
    }

    #[test]
    fn free_events_are_no_warnings() {
        let free = EventKind::ALL.into_iter().filter(|kind| kind.is_free_to_cause());

        assert_eq!(free.filter(|kind| kind.is_warning()).collect::<Vec<_>>(), []);
    }

    #[tokio::test]
    async fn ids_are_in_order_even_within_a_millisecond() {
        let (trail, mut pending, _) = trail(1000);

        for _ in 0..1000 {
            trail.record(EventKind::Login, None, AuditOrigin::server());
        }

        let ids: Vec<_> = std::iter::from_fn(|| pending.queue.try_recv().ok()).map(|event| event.id).collect();
        assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
