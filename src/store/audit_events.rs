//! The contract of audit stores.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{error::StoreError, time_budget::TimeBudget};
use crate::model::{AuditEvent, EventId, EventPage, EventPageQuery, HourlyCount, MAX_PAGE};

/// Stores audit events. A stored event never changes, and is removed only because of its age.
///
/// Every method is one atomic operation. A call counts against `time` while it runs, and fails with
/// [`StoreError::Unavailable`] when that is used up. A call fails with [`StoreError::Corrupt`] if a stored event cannot
/// be read.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Appends all of the events or none of them. Events whose ids are stored already are skipped, so an append whose
    /// response was lost can be repeated. Fails with [`StoreError::Rejected`] if a constraint or a trigger rejects one of them.
    async fn append(&self, events: &[AuditEvent], time: &TimeBudget) -> Result<(), StoreError>;

    /// Removes the oldest events whose ids are less than `before`, at most `limit` of them, and returns their number.
    /// If one of them is younger than 23 hours, the call fails with [`StoreError::Rejected`] and removes nothing: the
    /// shortest retention is one day.
    async fn prune(&self, before: EventId, limit: u32, time: &TimeBudget) -> Result<u64, StoreError>;
}

/// Reads audit events and what was counted of them. No call takes longer because there are more events.
///
/// A call counts against `time` while it runs, and fails with [`StoreError::Unavailable`] when that is used up. A call fails
/// with [`StoreError::Corrupt`] if a stored event cannot be read. An implementation may repeat any call whose connection broke.
#[async_trait]
pub trait AuditReader: Send + Sync {
    /// Returns a page of events, which examines at most [`MAX_EXAMINED`](super::MAX_EXAMINED) index entries. Leaves out events
    /// of kinds that this version does not know. The call takes as long for a table with many events as for one with few.
    async fn page(&self, query: &EventPageQuery, time: &TimeBudget) -> Result<EventPage, StoreError>;

    /// Returns the statistics of the hours that begin at `from` or later and before `until`, by hour and name. Reads no events:
    /// each event was counted when it was inserted.
    async fn statistics(
        &self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        time: &TimeBudget,
    ) -> Result<Vec<HourlyCount>, StoreError>;
}

/// Returns at most `limit` events that match the query, newest first, from as many pages as they take. The limit of the query
/// does not count.
///
/// # Errors
/// Returns the [`StoreError`] of the first page that fails.
pub async fn read_events(
    reader: &dyn AuditReader,
    mut query: EventPageQuery,
    limit: usize,
    time: &TimeBudget,
) -> Result<Vec<AuditEvent>, StoreError> {
    let mut events = Vec::new();
    loop {
        query.limit =
            u32::try_from(limit.saturating_sub(events.len())).map_or(MAX_PAGE, |missing| missing.min(MAX_PAGE));
        if query.limit == 0 {
            return Ok(events);
        }
        let page = reader.page(&query, time).await?;
        events.extend(page.events);
        let Some(next) = page.next else { return Ok(events) };
        query.before = Some(next);
    }
}
