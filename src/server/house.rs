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

/// How long a connection may be silent before it gives way before all others: its first byte may be on its way.
const SILENCE: Duration = Duration::from_secs(1);

/// How often a full house in which nobody idles is looked through again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The places of a listener. When none is left, the newcomer gets that of a connection without a request: of the one that
/// has been silent longest, from the beginning, or else of the one that has idled longest. Where every one has a request,
/// the newcomer waits.
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
        let idle = connections.values().filter_map(|watch| Some((rank(watch.idle()?), watch)));
        if let Some((_, watch)) = idle.max_by_key(|(rank, _)| *rank) {
            watch.displace();
        }
    }
}

/// Who gives way first.
fn rank((is_silent, idle): (bool, Duration)) -> (bool, Duration) {
    (is_silent && idle >= SILENCE, idle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silent_give_way_first_and_then_whoever_idles_longest() {
        let [short, long, longer] = [1, 1500, 60_000].map(Duration::from_millis);

        let mut connections = [(false, longer), (true, long), (false, short), (false, long), (true, short)];
        connections.sort_by_key(|idle| std::cmp::Reverse(rank(*idle)));

        assert_eq!(connections, [(true, long), (false, longer), (false, long), (false, short), (true, short)]);
    }
}
