//! Writes a batch of events to the table, without those that the table rejects.

use std::time::Duration;

use crate::{
    model::AuditEvent,
    store::{AuditStore, StoreError, TimeBudget},
};

/// The time limit of a statement. No request waits for it.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// The events of a batch that are not written yet.
pub(super) struct Batch<'events> {
    /// Parts of the batch, the next one last.
    parts: Vec<&'events [AuditEvent]>,
}

impl<'events> Batch<'events> {
    pub(super) fn new(events: &'events [AuditEvent]) -> Self {
        Self { parts: vec![events] }
    }

    /// Appends the events to the table. If the table rejects an event, halves the batch until that event is alone, passes it to
    /// `set_aside`, and goes on: n events take fewer than 2n statements.
    ///
    /// # Errors
    /// Returns the first other [`StoreError`]. Another call appends what is left.
    pub(super) async fn write(
        &mut self,
        table: &dyn AuditStore,
        mut set_aside: impl FnMut(&AuditEvent, &StoreError) + Send,
    ) -> Result<(), StoreError> {
        while let Some(part) = self.parts.last().copied() {
            let outcome = match part {
                [] => Ok(()),
                part => table.append(part, &TimeBudget::new(STATEMENT_TIMEOUT)).await,
            };
            match (outcome, part) {
                (Err(error @ StoreError::Rejected { .. }), [event]) => set_aside(event, &error),
                (Err(StoreError::Rejected { .. }), part) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    self.parts.pop();
                    self.parts.extend([second, first]);
                    continue;
                }
                (outcome, _) => outcome?,
            }
            // Only now: if this future is dropped, the part is not lost, and the table skips events that it has.
            self.parts.pop();
        }
        Ok(())
    }

    /// Returns the number of events that are neither written nor set aside.
    pub(super) fn left(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use parking_lot::Mutex;

    use super::*;
    use crate::{
        audit::Trail,
        clock::SystemClock,
        metrics::Metrics,
        model::{AuditOrigin, EventId, EventKind},
    };

    /// A table that rejects logouts, and is unavailable after a number of statements.
    #[derive(Default)]
    struct Table {
        events: Mutex<Vec<EventId>>,
        statements: Mutex<usize>,
        unavailable_at: Option<usize>,
    }

    #[async_trait]
    impl AuditStore for Table {
        async fn append(&self, events: &[AuditEvent], _: &TimeBudget) -> Result<(), StoreError> {
            let mut statements = self.statements.lock();
            *statements += 1;
            if self.unavailable_at == Some(*statements) {
                return Err(StoreError::Unavailable { store: "table", reason: "on purpose".to_owned() });
            }
            if events.iter().any(|event| event.kind == EventKind::Logout) {
                return Err(StoreError::Rejected { store: "table", reason: "on purpose".to_owned() });
            }
            self.events.lock().extend(events.iter().map(|event| event.id));
            Ok(())
        }

        async fn prune(&self, _: EventId, _: u32, _: &TimeBudget) -> Result<u64, StoreError> {
            Ok(0)
        }
    }

    fn events(kinds: impl IntoIterator<Item = EventKind>) -> Vec<AuditEvent> {
        let (trail, mut pending) = Trail::new(Arc::new(SystemClock), Metrics::new("").audit, 1000);
        kinds.into_iter().for_each(|kind| trail.record(kind, None, AuditOrigin::server()));
        std::iter::from_fn(|| pending.queue.try_recv().ok()).collect()
    }

    fn ids(events: &[AuditEvent], kind: EventKind) -> Vec<EventId> {
        events.iter().filter(|event| event.kind == kind).map(|event| event.id).collect()
    }

    #[tokio::test]
    async fn rejected_events_are_set_aside_and_all_others_written() {
        for rejected in [vec![], vec![0], vec![499], vec![7, 8, 250], (0..500).collect()] {
            let kind = |index| if rejected.contains(&index) { EventKind::Logout } else { EventKind::Login };
            let (events, table) = (events((0..500).map(kind)), Table::default());
            let (mut batch, mut aside) = (Batch::new(&events), Vec::new());

            batch.write(&table, |event, _| aside.push(event.id)).await.expect("the table is available");

            assert_eq!((aside, batch.left()), (ids(&events, EventKind::Logout), 0));
            assert_eq!(*table.events.lock(), ids(&events, EventKind::Login));
            assert!(*table.statements.lock() < 2 * events.len(), "{}", table.statements.lock());
        }
    }

    #[tokio::test]
    async fn write_continues_after_an_outage_where_it_stopped() {
        let kinds = [EventKind::Login, EventKind::Login, EventKind::Logout, EventKind::Login];
        let events = events(kinds);
        // The statements write all four events, the first two, the last two, the third, the last.
        for unavailable_at in 1..=5 {
            let table = Table { unavailable_at: Some(unavailable_at), ..Table::default() };
            let (mut batch, mut aside) = (Batch::new(&events), Vec::new());

            let outcome = batch.write(&table, |event, _| aside.push(event.id)).await;
            assert!(matches!(outcome, Err(StoreError::Unavailable { .. })));
            assert_eq!(batch.left() + table.events.lock().len() + aside.len(), events.len());
            batch.write(&table, |event, _| aside.push(event.id)).await.expect("the table is available");

            assert_eq!((aside, batch.left()), (ids(&events, EventKind::Logout), 0));
            assert_eq!(*table.events.lock(), ids(&events, EventKind::Login), "{unavailable_at}");
        }
    }
}
