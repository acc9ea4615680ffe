//! The slots of a listener's connections, and eviction when none is free.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Duration, timeout},
};

use super::activity::ConnectionActivity;

/// How often a connection that waits for a slot tries to evict another one.
const EVICTION_INTERVAL: Duration = Duration::from_millis(50);

/// The slots of a listener. If none is free, a new connection takes the slot of a connection without a request: the one with
/// the highest [`EvictionPriority`](super::activity::EvictionPriority), and of equals the one that has had it longest. If
/// every connection has a request, the new one waits.
#[derive(Debug)]
pub struct ConnectionSlots {
    free: Arc<Semaphore>,
    occupied: Mutex<HashMap<u64, Arc<ConnectionActivity>>>,
    next_id: AtomicU64,
}

/// A connection's slot, freed on drop.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<ConnectionSlots>,
    id: u64,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.occupied.lock().remove(&self.id);
    }
}

impl ConnectionSlots {
    /// Creates `count` free slots.
    pub fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), occupied: Mutex::default(), next_id: AtomicU64::new(0) }
    }

    /// Waits for a slot, and evicts other connections to get one.
    pub async fn acquire(self: &Arc<Self>, activity: Arc<ConnectionActivity>) -> Slot {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                break permit;
            }
            self.evict_one();
            // The evicted connection stays if a request has arrived on it meanwhile.
            if let Ok(Ok(permit)) = timeout(EVICTION_INTERVAL, Arc::clone(&self.free).acquire_owned()).await {
                break permit;
            }
        };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.occupied.lock().insert(id, activity);
        Slot { slots: Arc::clone(self), id, _permit: permit }
    }

    fn evict_one(&self) {
        let occupied = self.occupied.lock();
        let candidates = occupied.values().filter_map(|activity| Some((activity.eviction_priority()?, activity)));
        if let Some((_, activity)) = candidates.max_by_key(|(priority, _)| *priority) {
            activity.evict();
        }
    }
}
