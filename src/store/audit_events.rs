//! The contract of audit stores.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{error::StoreError, time_budget::TimeBudget};
use crate::model::{AuditEvent, EventId, EventPage, EventPageQuery, EventQuery, HourlyCount, UserId};

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

    /// Returns at most `query.limit` events that match the query, newest first (by id, descending).
    async fn list(&self, query: &EventQuery, time: &TimeBudget) -> Result<Vec<AuditEvent>, StoreError>;

    /// Returns at most `limit` events about a user whose ids are less than `before`, newest first (by id, descending). Leaves
    /// out events of kinds that this version does not know, so that an older replica can read beside a newer one. The call takes as long for a user with few events as for a table with few events.
    async fn of_user(
        &self,
        user: UserId,
        before: Option<EventId>,
        limit: u32,
        time: &TimeBudget,
    ) -> Result<Vec<AuditEvent>, StoreError>;

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
