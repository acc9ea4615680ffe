//! A backend whose audit table can be held up.

use std::sync::Arc;

use async_trait::async_trait;
use postern::{
    clock::ManualClock,
    model::{AuditEvent, EventId, EventQuery},
    store::{AuditStore, StoreError, TimeBudget},
};
use tokio::sync::watch;

use crate::support::{Backend, Stores};

/// A backend whose audit table takes nothing while it is held.
pub struct Held<B> {
    real: B,
    is_held: watch::Sender<bool>,
}

impl<B> Held<B> {
    /// Has the table hang.
    pub fn hold(&self) {
        self.is_held.send_replace(true);
    }

    /// Has it go on.
    pub fn release(&self) {
        self.is_held.send_replace(false);
    }
}

impl<B: Backend> Backend for Held<B> {
    async fn empty() -> Self {
        Self { real: B::empty().await, is_held: watch::Sender::new(false) }
    }

    async fn open(&self, clock: Arc<ManualClock>) -> Stores {
        let stores = self.real.open(clock).await;
        let audit = Arc::new(HeldEvents { events: stores.audit, is_held: self.is_held.subscribe() });
        Stores { audit, ..stores }
    }
}

struct HeldEvents {
    events: Arc<dyn AuditStore>,
    is_held: watch::Receiver<bool>,
}

#[async_trait]
impl AuditStore for HeldEvents {
    async fn append(&self, events: &[AuditEvent], time: &TimeBudget) -> Result<(), StoreError> {
        self.is_held.clone().wait_for(|is_held| !is_held).await.expect("the backend is there");
        self.events.append(events, time).await
    }

    async fn list(&self, query: &EventQuery, time: &TimeBudget) -> Result<Vec<AuditEvent>, StoreError> {
        self.events.list(query, time).await
    }

    async fn prune(&self, before: EventId, limit: u32, time: &TimeBudget) -> Result<u64, StoreError> {
        self.events.prune(before, limit, time).await
    }
}
