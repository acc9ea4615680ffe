//! A backend whose audit table can be made to hang.

use std::sync::Arc;

use async_trait::async_trait;
use postern::{
    clock::ManualClock,
    model::{AuditEvent, EventId},
    store::{AuditStore, StoreError, TimeBudget},
};
use tokio::sync::watch;

use crate::support::{Backend, Stores};

/// A backend whose audit table takes nothing while it is stalled.
pub struct StalledAudit<B> {
    real: B,
    is_stalled: watch::Sender<bool>,
}

impl<B> StalledAudit<B> {
    /// Makes the table hang.
    pub fn stall(&self) {
        self.is_stalled.send_replace(true);
    }

    /// Ends that.
    pub fn touch(&self) {
        self.is_stalled.send_replace(false);
    }
}

impl<B: Backend> Backend for StalledAudit<B> {
    async fn empty() -> Self {
        Self { real: B::empty().await, is_stalled: watch::Sender::new(false) }
    }

    async fn open(&self, clock: Arc<ManualClock>) -> Stores {
        let stores = self.real.open(clock).await;
        let audit = Arc::new(StalledEvents { events: stores.audit, is_stalled: self.is_stalled.subscribe() });
        Stores { audit, ..stores }
    }
}

struct StalledEvents {
    events: Arc<dyn AuditStore>,
    is_stalled: watch::Receiver<bool>,
}

#[async_trait]
impl AuditStore for StalledEvents {
    async fn append(&self, events: &[AuditEvent], time: &TimeBudget) -> Result<(), StoreError> {
        self.is_stalled.clone().wait_for(|is_stalled| !is_stalled).await.expect("the backend is there");
        self.events.append(events, time).await
    }

    async fn prune(&self, before: EventId, limit: u32, time: &TimeBudget) -> Result<u64, StoreError> {
        self.events.prune(before, limit, time).await
    }
}
