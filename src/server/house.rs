//! How many connections there may be at once, and who gives way where there are as many.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Duration, timeout},
};

use super::watch::Watch;

/// How often a full house in which nobody idles is looked through again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The places of a listener. When none is left, the newcomer gets that of a connection without a request: of the one that
/// has been silent longest, from the beginning, or else of the one that has idled longest, or else of the one whose head
/// has been arriving longest. Where every one has a request, the newcomer waits.
#[derive(Debug)]
pub struct House {
    places: Arc<Semaphore>,
    connections: Mutex<HashMap<u64, Arc<Watch>>>,
    next: AtomicU64,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    house: Arc<House>,
    id: u64,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.house.connections.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl House {
    /// A house with this many places.
    pub fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), connections: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// A place for a connection, as soon as there is one.
    pub async fn place(self: &Arc<Self>, watch: Arc<Watch>) -> Place {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
                break permit;
            }
            self.displace_one();
            // Whoever was asked may just have got a request, and stays.
            if let Ok(Ok(permit)) = timeout(LOOK_AGAIN, Arc::clone(&self.places).acquire_owned()).await {
                break permit;
            }
        };
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).insert(id, watch);
        Place { house: Arc::clone(self), id, _permit: permit }
    }

    fn displace_one(&self) {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let yielding = connections.values().filter_map(|watch| Some((watch.yields()?, watch)));
        if let Some((_, watch)) = yielding.max_by_key(|(claim, _)| *claim) {
            watch.displace();
        }
    }
}
