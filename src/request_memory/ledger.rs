//! Who holds how much, and whose bodies end when it is too much.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};

use crate::model::ClientNetwork;

/// How many of the networks that hold most are searched for a body to end: limits the work of a charge.
const MAX_SEARCHED: usize = 16;

/// The client that a charge counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payer {
    /// A client. Under pressure, its network may hold a quarter of the limit.
    Client(ClientNetwork),
    /// A trusted proxy, whose connections carry many clients. It may hold as much as the limit.
    TrustedProxy(ClientNetwork),
    /// A client of the operations listener: probes and scrapers. It may exceed the limit by a sixteenth.
    Operations(ClientNetwork),
}

impl Payer {
    pub(super) fn network(self) -> ClientNetwork {
        match self {
            Self::Client(network) | Self::TrustedProxy(network) | Self::Operations(network) => network,
        }
    }
}

/// The budget is used up, or the client's network holds too much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("request memory is used up")]
pub struct BudgetExceeded;

/// The charges of the process, in bytes.
#[derive(Debug)]
pub(super) struct Ledger {
    limit: u64,
    held: u64,
    holders: HashMap<ClientNetwork, Holder>,
    by_bytes: BTreeSet<(u64, ClientNetwork)>,
    next_body: u64,
}

#[derive(Debug, Default)]
struct Holder {
    bytes: u64,
    /// The incomplete bodies, the slowest first: all are small, so the slowest is the one that began first.
    bodies: BTreeMap<u64, Body>,
}

#[derive(Debug)]
struct Body {
    /// What its request holds.
    bytes: Arc<AtomicU64>,
    since: Instant,
    end: Arc<Notify>,
}

impl Ledger {
    pub fn new(limit: u64) -> Self {
        Self { limit, held: 0, holders: HashMap::new(), by_bytes: BTreeSet::new(), next_body: 0 }
    }

    pub fn held(&self) -> u64 {
        self.held
    }

    /// Returns whether charges end bodies: three quarters of the limit are held.
    pub fn is_tight(&self) -> bool {
        self.held > self.pressure()
    }

    /// Adds a charge, and returns how many bodies were ended for it.
    pub fn charge(&mut self, payer: Payer, bytes: u64) -> (u64, Result<(), BudgetExceeded>) {
        let network = payer.network();
        let own = self.bytes_of(network) + bytes;
        let held = self.held + bytes;
        // An ended body gives its memory back when its task runs: until then, the distance from the pressure to the limit
        // is used.
        let mut missing = held.saturating_sub(self.pressure()).min(bytes);
        let mut ended = 0;
        while missing > 0
            && let Some(freed) = self.end_body_for(network, own)
        {
            missing = missing.saturating_sub(freed);
            ended += 1;
        }
        let is_large = matches!(payer, Payer::Client(_)) && own > self.limit / 4;
        let ceiling = match payer {
            Payer::Operations(_) => self.limit + self.limit / 16,
            _ if is_large && missing > 0 => self.pressure(),
            _ if is_large => self.limit - self.limit / 8,
            _ => self.limit,
        };
        if held > ceiling {
            return (ended, Err(BudgetExceeded));
        }
        self.held = held;
        self.set_bytes(network, own);
        (ended, Ok(()))
    }

    /// Gives back what was charged.
    pub fn release(&mut self, network: ClientNetwork, bytes: u64) {
        self.held -= bytes;
        self.set_bytes(network, self.bytes_of(network) - bytes);
    }

    /// Adds an incomplete body, whose request holds `bytes`. `end` is notified when it must end.
    pub fn add_body(&mut self, network: ClientNetwork, bytes: Arc<AtomicU64>, end: Arc<Notify>) -> u64 {
        let id = self.next_body;
        self.next_body += 1;
        let body = Body { bytes, since: Instant::now(), end };
        self.holders.entry(network).or_default().bodies.insert(id, body);
        id
    }

    /// Removes a body that is complete or has ended.
    pub fn remove_body(&mut self, network: ClientNetwork, id: u64) {
        if let Some(holder) = self.holders.get_mut(&network) {
            holder.bodies.remove(&id);
        }
    }

    /// Ends the slowest body of the network that holds most, if it has been incomplete for `age`. Returns whether there was
    /// one.
    pub fn end_slow_body(&mut self, age: Duration) -> bool {
        let is_slow = |body: &Body| body.since.elapsed() >= age;
        let victim = self.largest().find(|(_, holder)| holder.slowest().is_some_and(is_slow));
        let network = victim.map(|(network, _)| network);
        network.is_some_and(|network| self.end_slowest(network).is_some())
    }

    fn pressure(&self) -> u64 {
        self.limit / 4 * 3
    }

    /// Ends a body for a charge by which `network` would hold `own` bytes. Never one of a network that holds less.
    fn end_body_for(&mut self, network: ClientNetwork, own: u64) -> Option<u64> {
        let most = self.by_bytes.last()?.0;
        let victim = self
            .largest()
            .take_while(|(_, holder)| holder.bytes >= most / 2)
            .find(|(other, holder)| (*other == network || holder.bytes >= own) && !holder.bodies.is_empty())
            .map(|(network, _)| network);
        self.end_slowest(victim?)
    }

    /// Returns the networks that hold most, largest first.
    fn largest(&self) -> impl Iterator<Item = (ClientNetwork, &Holder)> {
        let networks = self.by_bytes.iter().rev().take(MAX_SEARCHED);
        networks.filter_map(|(_, network)| Some((*network, self.holders.get(network)?)))
    }

    /// Ends the slowest body of a network, and returns what its request holds.
    fn end_slowest(&mut self, network: ClientNetwork) -> Option<u64> {
        let (_, body) = self.holders.get_mut(&network)?.bodies.pop_first()?;
        body.end.notify_one();
        Some(body.bytes.load(Ordering::Relaxed).max(1))
    }

    fn bytes_of(&self, network: ClientNetwork) -> u64 {
        self.holders.get(&network).map_or(0, |holder| holder.bytes)
    }

    fn set_bytes(&mut self, network: ClientNetwork, bytes: u64) {
        let holder = self.holders.entry(network).or_default();
        self.by_bytes.remove(&(holder.bytes, network));
        holder.bytes = bytes;
        if bytes > 0 {
            self.by_bytes.insert((bytes, network));
        } else {
            self.holders.remove(&network);
        }
    }
}

impl Holder {
    fn slowest(&self) -> Option<&Body> {
        self.bodies.values().next()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn network(number: u8) -> ClientNetwork {
        std::net::IpAddr::from(Ipv4Addr::new(192, 0, 2, number)).into()
    }

    fn client(number: u8) -> Payer {
        Payer::Client(network(number))
    }

    /// Charges a request of one mebibyte and adds its incomplete body. Returns what its end notifies.
    fn body(ledger: &mut Ledger, number: u8) -> Arc<Notify> {
        assert_eq!(ledger.charge(client(number), MIB), (0, Ok(())));
        let end = Arc::new(Notify::new());
        ledger.add_body(network(number), Arc::new(AtomicU64::new(MIB)), Arc::clone(&end));
        end
    }

    async fn has_ended(end: &Notify) -> bool {
        tokio::time::timeout(Duration::ZERO, end.notified()).await.is_ok()
    }

    #[tokio::test]
    async fn slowest_body_of_the_largest_client_ends() {
        let mut ledger = Ledger::new(16 * MIB);
        let honest = body(&mut ledger, 2);
        let mut slow = Vec::new();
        for _ in 0..11 {
            slow.push(body(&mut ledger, 1));
        }

        assert_eq!(ledger.charge(client(3), 2 * MIB), (2, Ok(())));

        let mut ended = Vec::new();
        for end in &slow {
            ended.push(has_ended(end).await);
        }
        assert_eq!(ended.iter().position(|ended| !ended), Some(2), "{ended:?}");
        assert!(!ended[2..].contains(&true) && !has_ended(&honest).await);
    }

    #[tokio::test]
    async fn client_that_holds_most_ends_its_own_body() {
        let mut ledger = Ledger::new(16 * MIB);
        let first = body(&mut ledger, 1);
        let honest = body(&mut ledger, 2);
        assert_eq!(ledger.charge(client(1), 10 * MIB), (0, Ok(())));

        assert_eq!(ledger.charge(client(1), MIB), (1, Ok(())));

        assert!(has_ended(&first).await && !has_ended(&honest).await);
    }

    #[test]
    fn client_without_a_body_to_end_holds_no_more_than_the_pressure() {
        let mut ledger = Ledger::new(16 * MIB);
        assert_eq!(ledger.charge(client(1), 12 * MIB), (0, Ok(())));

        assert_eq!(ledger.charge(client(1), 1), (0, Err(BudgetExceeded)));
        assert_eq!(ledger.charge(client(2), 4 * MIB), (0, Ok(())));
    }

    #[test]
    fn body_of_a_smaller_client_does_not_end() {
        let mut ledger = Ledger::new(16 * MIB);
        body(&mut ledger, 2);
        assert_eq!(ledger.charge(client(1), 11 * MIB), (0, Ok(())));

        assert_eq!(ledger.charge(client(3), MIB), (0, Ok(())));
    }

    #[test]
    fn limit_is_never_exceeded_by_clients() {
        let mut ledger = Ledger::new(16 * MIB);
        for number in 0..16 {
            assert_eq!(ledger.charge(client(number), MIB), (0, Ok(())));
        }

        assert_eq!(ledger.charge(client(16), 1), (0, Err(BudgetExceeded)));
        assert_eq!(ledger.charge(Payer::TrustedProxy(network(16)), 1), (0, Err(BudgetExceeded)));
        assert_eq!(ledger.charge(Payer::Operations(network(16)), MIB), (0, Ok(())));
        assert_eq!(ledger.charge(Payer::Operations(network(16)), 1), (0, Err(BudgetExceeded)));
    }

    #[test]
    fn trusted_proxy_may_hold_the_whole_budget() {
        let mut ledger = Ledger::new(16 * MIB);

        assert_eq!(ledger.charge(Payer::TrustedProxy(network(1)), 16 * MIB), (0, Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_body_ends_for_a_slot_only_after_its_age() {
        let mut ledger = Ledger::new(16 * MIB);
        let end = body(&mut ledger, 1);
        let age = Duration::from_secs(1);

        assert!(!ledger.end_slow_body(age));
        tokio::time::advance(age).await;
        assert!(ledger.end_slow_body(age));

        assert!(has_ended(&end).await && !ledger.end_slow_body(age));
    }

    #[test]
    fn everything_is_given_back() {
        let mut ledger = Ledger::new(16 * MIB);
        for number in 0..4 {
            assert_eq!(ledger.charge(client(number), MIB), (0, Ok(())));
        }

        for number in 0..4 {
            ledger.release(network(number), MIB);
        }

        assert_eq!((ledger.held, ledger.holders.len(), ledger.by_bytes.len()), (0, 0, 0));
    }
}
