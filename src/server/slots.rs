//! The slots of a listener's connections, and eviction when they or memory are scarce.

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
    time::{Duration, Instant, timeout},
};

use super::activity::ConnectionActivity;
use crate::{
    model::ClientNetwork,
    request_memory::{Payer, RequestBudget},
};

/// How often a connection that waits for a slot tries to evict another one.
const EVICTION_INTERVAL: Duration = Duration::from_millis(50);

/// The least time between two evictions for memory: each looks at all connections.
const RELIEF_INTERVAL: Duration = Duration::from_millis(2);

/// How long a connection must have been without a request to be evicted for memory, or by a network that replaces its own:
/// the first request of a new one may be on its way, and would keep it.
const MIN_IDLE: Duration = Duration::from_secs(1);

/// How long a request body must have been incomplete to end for a slot.
const SLOW_BODY: Duration = Duration::from_secs(1);

/// The slots of a listener.
///
/// If none is free, a new connection takes the slot of one of the client network that has most connections: a connection
/// without a request, or with unread responses, by its [`EvictionPriority`](super::activity::EvictionPriority), and of equals
/// the one that has had it longest. If there is none, the slowest request body of the process ends, and the new connection
/// waits.
///
/// When three quarters are in use, a client network with a quarter of them replaces its own connections: the rest is for
/// other networks. Trusted proxies and the operations listener are exempt.
#[derive(Debug)]
pub struct ConnectionSlots {
    count: usize,
    free: Arc<Semaphore>,
    occupied: Mutex<Occupied>,
    next_id: AtomicU64,
    budget: Arc<RequestBudget>,
    last_relief: Mutex<Instant>,
}

#[derive(Debug, Default)]
struct Occupied {
    connections: HashMap<u64, (Option<ClientNetwork>, Arc<ConnectionActivity>)>,
    /// The number of connections of each client network.
    counts: HashMap<ClientNetwork, usize>,
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
        self.slots.occupied.lock().remove(self.id);
    }
}

impl ConnectionSlots {
    /// Creates `count` free slots.
    pub fn new(count: usize, budget: Arc<RequestBudget>) -> Self {
        Self {
            count,
            free: Arc::new(Semaphore::new(count)),
            occupied: Mutex::default(),
            next_id: AtomicU64::new(0),
            budget,
            last_relief: Mutex::new(Instant::now()),
        }
    }

    /// Waits for a slot, and evicts other connections to get one. Returns `None` if the client's network has too many
    /// connections, and none that may be evicted.
    pub async fn acquire(self: &Arc<Self>, activity: Arc<ConnectionActivity>, payer: Payer) -> Option<Slot> {
        let owner = match payer {
            Payer::Client(network) => Some(network),
            Payer::TrustedProxy(_) | Payer::Operations(_) => None,
        };
        let permit = loop {
            if self.has_too_many(owner) && !self.evict_one(owner, MIN_IDLE) {
                return None;
            }
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                break permit;
            }
            if !self.evict_one(None, Duration::ZERO) && !matches!(payer, Payer::Operations(_)) {
                self.budget.end_slow_body(SLOW_BODY);
            }
            // The evicted connection stays if a request has arrived on it meanwhile.
            if let Ok(Ok(permit)) = timeout(EVICTION_INTERVAL, Arc::clone(&self.free).acquire_owned()).await {
                break permit;
            }
        };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.occupied.lock().insert(id, owner, activity);
        Some(Slot { slots: Arc::clone(self), id, _permit: permit })
    }

    /// Evicts a connection if memory is scarce for this payer, who opens a connection or sends a request. The operations
    /// listener has a reserve, and evicts none.
    pub fn relieve_memory(&self, payer: Payer) {
        if matches!(payer, Payer::Operations(_)) || !self.budget.is_tight() {
            return;
        }
        {
            let mut last = self.last_relief.lock();
            if last.elapsed() < RELIEF_INTERVAL {
                return;
            }
            *last = Instant::now();
        }
        self.evict_one(None, MIN_IDLE);
    }

    /// Returns whether a network may have more connections only if it loses others.
    fn has_too_many(&self, owner: Option<ClientNetwork>) -> bool {
        let Some(owner) = owner else { return false };
        let is_crowded = self.free.available_permits() < self.count / 4;
        is_crowded && self.occupied.lock().counts.get(&owner).is_some_and(|count| *count >= self.count / 4)
    }

    /// Evicts a connection that has been evictable for `min_age`, of this network only if one is given. Returns whether a
    /// connection is about to close.
    fn evict_one(&self, owner: Option<ClientNetwork>, min_age: Duration) -> bool {
        let occupied = self.occupied.lock();
        if let Some(activity) = occupied.victim(owner, min_age) {
            activity.evict();
            return true;
        }
        owner.is_none() && occupied.connections.values().any(|(_, activity)| activity.is_evicted())
    }
}

impl Occupied {
    fn insert(&mut self, id: u64, owner: Option<ClientNetwork>, activity: Arc<ConnectionActivity>) {
        if let Some(owner) = owner {
            *self.counts.entry(owner).or_default() += 1;
        }
        self.connections.insert(id, (owner, activity));
    }

    fn remove(&mut self, id: u64) {
        let Some((Some(owner), _)) = self.connections.remove(&id) else { return };
        if let Some(count) = self.counts.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&owner);
            }
        }
    }

    fn victim(&self, owner: Option<ClientNetwork>, min_age: Duration) -> Option<&Arc<ConnectionActivity>> {
        let connections = self.connections.values().filter(|(other, _)| owner.is_none() || *other == owner);
        let candidates = connections.filter(|(_, activity)| !activity.is_evicted()).filter_map(|(other, activity)| {
            let (priority, age) = activity.eviction_priority()?;
            if age < min_age {
                return None;
            }
            let count = other.and_then(|other| self.counts.get(&other)).copied().unwrap_or_default();
            Some(((count, priority, age), activity))
        });
        candidates.max_by_key(|(rank, _)| *rank).map(|(_, activity)| activity)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{super::limits::ConnectionTimeouts, *};
    use crate::metrics::{MemoryUse, Metrics};

    fn network(number: u8) -> ClientNetwork {
        IpAddr::from(Ipv4Addr::new(192, 0, 2, number)).into()
    }

    fn client(number: u8) -> Payer {
        Payer::Client(network(number))
    }

    fn activity() -> Arc<ConnectionActivity> {
        let timeouts = ConnectionTimeouts::of(Duration::from_secs(10), Duration::from_secs(75));
        Arc::new(ConnectionActivity::new(timeouts))
    }

    fn slots(count: usize) -> Arc<ConnectionSlots> {
        let budget = RequestBudget::unlimited(Metrics::new("").request_memory);
        Arc::new(ConnectionSlots::new(count, Arc::new(budget)))
    }

    /// Takes `count` slots. The connections have requests, so none can be evicted.
    async fn busy(slots: &Arc<ConnectionSlots>, payer: Payer, count: usize) -> Vec<Option<Slot>> {
        let mut taken = Vec::new();
        for _ in 0..count {
            let activity = activity();
            std::mem::forget(activity.request_started());
            taken.push(slots.acquire(activity, payer).await);
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn network_is_capped_when_slots_are_scarce() {
        let slots = slots(16);

        let taken = busy(&slots, client(1), 16).await;

        assert_eq!(taken.iter().filter(|slot| slot.is_some()).count(), 13);
        assert!(slots.acquire(activity(), client(2)).await.is_some());
        assert!(slots.acquire(activity(), Payer::TrustedProxy(network(1))).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn capped_network_replaces_its_own_connections() {
        let slots = slots(16);
        let (idle, other) = (activity(), activity());
        let mut taken = vec![slots.acquire(Arc::clone(&other), client(2)).await];
        taken.push(slots.acquire(Arc::clone(&idle), client(1)).await);
        taken.extend(busy(&slots, client(1), 11).await);
        assert!(slots.acquire(activity(), client(1)).await.is_none());
        tokio::time::advance(MIN_IDLE).await;

        let newcomer = slots.acquire(activity(), client(1)).await;

        assert!(newcomer.is_some());
        assert_eq!([&idle, &other].map(|activity| activity.is_evicted()), [true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn connection_of_the_largest_network_is_evicted() {
        let slots = slots(4);
        let (few, many) = (activity(), [activity(), activity()]);
        let mut taken = vec![slots.acquire(Arc::clone(&few), client(2)).await];
        for activity in &many {
            taken.push(slots.acquire(Arc::clone(activity), client(1)).await);
        }
        assert!(slots.evict_one(None, Duration::ZERO));

        assert!(many.iter().any(|activity| activity.is_evicted()) && !few.is_evicted());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connection_is_evicted_for_memory_of_clients() {
        let budget = Arc::new(RequestBudget::new(1024, Metrics::new("").request_memory));
        let slots = Arc::new(ConnectionSlots::new(4, Arc::clone(&budget)));
        let idle = activity();
        let _slot = slots.acquire(Arc::clone(&idle), client(1)).await;
        let _share = budget.charge(Payer::TrustedProxy(network(1)), MemoryUse::Request, 1000).expect("it fits");
        tokio::time::advance(RELIEF_INTERVAL).await;
        slots.relieve_memory(client(2));
        assert!(!idle.is_evicted(), "its first request may be on its way");
        tokio::time::advance(MIN_IDLE).await;

        slots.relieve_memory(Payer::Operations(network(2)));
        assert!(!idle.is_evicted());
        slots.relieve_memory(client(2));

        assert!(idle.is_evicted());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_body_ends_for_a_slot_of_the_public_listener_only() {
        for (payer, ends) in [(Payer::Operations(network(2)), false), (client(2), true)] {
            let slots = slots(1);
            let share = slots.budget.charge(client(1), MemoryUse::Request, 1).expect("it fits");
            let body = share.incomplete_body();
            let _busy = busy(&slots, payer, 1).await;
            tokio::time::advance(SLOW_BODY).await;

            let waiting = timeout(Duration::from_secs(1), slots.acquire(activity(), payer)).await;

            assert!(waiting.is_err());
            assert_eq!(timeout(Duration::ZERO, body.ended()).await.is_ok(), ends, "{payer:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn freed_slots_are_not_counted() {
        let slots = slots(16);

        drop(busy(&slots, client(1), 16).await);

        assert_eq!(slots.free.available_permits(), 16);
        assert!(slots.occupied.lock().counts.is_empty());
    }
}
