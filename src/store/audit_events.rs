//! The contract of audit stores.

use async_trait::async_trait;

use super::{error::StoreError, time_budget::TimeBudget};
use crate::model::{AuditEvent, EventId, EventQuery};

/// Keeps audit events. What is kept never changes, and is removed by its age alone.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Appends events, all or none of them; those that are there already are left out, so that an append whose answer was
    /// lost may be repeated.
    async fn append(&self, events: &[AuditEvent], time: &TimeBudget) -> Result<(), StoreError>;

    /// Events, newest first.
    async fn list(&self, query: &EventQuery, time: &TimeBudget) -> Result<Vec<AuditEvent>, StoreError>;

    /// Removes the oldest events, at most so many, whose ids are less than this one, and returns how many. One of the last
    /// 23 hours is not removed, and none with it.
    async fn prune(&self, before: EventId, limit: u32, time: &TimeBudget) -> Result<u64, StoreError>;
}
