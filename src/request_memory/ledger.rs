//! Who holds how much, and whose bodies end when it is too much.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};

use crate::model::ClientNetwork;

/// What a request is still charged when it has ended for lack of memory: the state of its stream in h2, its task with hyper's
/// state, and a small response.
pub(super) const REJECTION_BYTES: u64 = 3 * 1024;

/// How many of the payers whose bodies hold most are searched for a body to end: limits the work of a charge.
const MAX_SEARCHED: usize = 16;

/// The client that a charge counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Payer {
    /// A client. Under pressure, its network may hold a quarter of the limit.
    Client(ClientNetwork),
    /// A trusted proxy, whose connections carry many clients. It may hold as much as the limit.
    TrustedProxy(ClientNetwork),
    /// A client of the operations listener: probes and scrapers. It may exceed the limit by a sixteenth.
    Operations(ClientNetwork),
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
    holders: HashMap<Payer, Holder>,
    /// The clients, by what they hold. Trusted proxies and the operations listener are exempt from its limits.
    by_bytes: BTreeSet<(u64, Payer)>,
    /// The payers with incomplete bodies, by what the requests of these hold.
    by_body_bytes: BTreeSet<(u64, Payer)>,
    last_body: BodyId,
}

/// An incomplete body of a payer. The first is 1.
pub(super) type BodyId = u64;

#[derive(Debug, Default)]
struct Holder {
    bytes: u64,
    /// What the requests with an incomplete body hold.
    body_bytes: u64,
    /// The incomplete bodies, the slowest first: all are small, so the slowest is the one that began first.
    bodies: BTreeMap<BodyId, Body>,
}

#[derive(Debug)]
struct Body {
    /// What its request holds.
    bytes: u64,
    since: Instant,
    end: Arc<Notify>,
}

impl Ledger {
    pub fn new(limit: u64) -> Self {
        let (by_bytes, by_body_bytes) = (BTreeSet::new(), BTreeSet::new());
        Self { limit, held: 0, holders: HashMap::new(), by_bytes, by_body_bytes, last_body: 0 }
    }

    pub fn held(&self) -> u64 {
        self.held
    }

    /// Returns whether charges end bodies: three quarters of the limit are held.
    pub fn is_tight(&self) -> bool {
        self.held > self.pressure()
    }

    /// Returns whether a charge would exceed the limit, which the operations listener may.
    pub fn would_exceed_limit(&self, bytes: u64) -> bool {
        self.held.saturating_add(bytes) > self.limit
    }

    /// Adds a charge, and returns how many bodies were ended for it.
    pub fn charge(&mut self, payer: Payer, bytes: u64) -> (u64, Result<(), BudgetExceeded>) {
        let own = self.bytes_of(payer) + bytes;
        let held = self.held + bytes;
        // An ended body gives its memory back when its task runs: until then, the distance from the pressure to the limit
        // is used.
        let mut missing = held.saturating_sub(self.pressure()).min(bytes);
        let mut ended = 0;
        while missing > 0
            && let Some(freed) = self.end_body_for(payer, own)
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
        self.set_bytes(payer, own);
        (ended, Ok(()))
    }

    /// Gives back what was charged.
    pub fn release(&mut self, payer: Payer, bytes: u64) {
        self.held -= bytes;
        self.set_bytes(payer, self.bytes_of(payer) - bytes);
    }

    /// Adds an incomplete body, whose request holds `bytes`. `end` is notified when it must end.
    pub fn add_body(&mut self, payer: Payer, bytes: u64, end: Arc<Notify>) -> BodyId {
        self.last_body += 1;
        let (id, body) = (self.last_body, Body { bytes, since: Instant::now(), end });
        self.change_bodies(payer, |holder| {
            holder.body_bytes += bytes;
            holder.bodies.insert(id, body)
        });
        id
    }

    /// Adds to what the request of an incomplete body holds, unless the body has ended.
    pub fn grow_body(&mut self, payer: Payer, id: BodyId, bytes: u64) {
        self.change_bodies(payer, |holder| {
            let body = holder.bodies.get_mut(&id)?;
            body.bytes += bytes;
            holder.body_bytes += bytes;
            Some(())
        });
    }

    /// Removes a body that is complete or has ended.
    pub fn remove_body(&mut self, payer: Payer, id: BodyId) {
        self.change_bodies(payer, |holder| {
            let body = holder.bodies.remove(&id)?;
            holder.body_bytes -= body.bytes;
            Some(())
        });
    }

    /// Ends the slowest body of the payer whose bodies hold most, if it has been incomplete for `age`. Returns whether there
    /// was one.
    pub fn end_slow_body(&mut self, age: Duration) -> bool {
        let is_slow = |body: &Body| body.since.elapsed() >= age;
        let victim = self.with_bodies().find(|(_, holder)| holder.slowest().is_some_and(is_slow));
        let payer = victim.map(|(payer, _)| payer);
        payer.is_some_and(|payer| self.end_slowest(payer).is_some())
    }

    fn pressure(&self) -> u64 {
        self.limit / 4 * 3
    }

    /// Ends a body for a charge by which `payer` would hold `own` bytes, of the payer whose bodies hold most. Never one of a
    /// payer that holds less, unless a trusted proxy is charged, which carries many clients; and never one of a payer that
    /// holds little: it must have an eighth of the limit, or half of what the largest client has.
    fn end_body_for(&mut self, payer: Payer, own: u64) -> Option<u64> {
        let most = self.by_bytes.last().map_or(0, |(bytes, _)| *bytes);
        let least = (most / 2).min(self.limit / 8);
        let own = if matches!(payer, Payer::Client(_)) { own } else { 0 };
        let victim = self
            .with_bodies()
            .find(|(other, holder)| holder.bytes >= least && (*other == payer || holder.bytes >= own))
            .map(|(payer, _)| payer);
        self.end_slowest(victim?)
    }

    /// Returns the payers whose bodies hold most, largest first.
    fn with_bodies(&self) -> impl Iterator<Item = (Payer, &Holder)> {
        let payers = self.by_body_bytes.iter().rev().take(MAX_SEARCHED);
        payers.filter_map(|(_, payer)| Some((*payer, self.holders.get(payer)?)))
    }

    /// Ends the slowest body of a payer, and returns what its request will give back.
    fn end_slowest(&mut self, payer: Payer) -> Option<u64> {
        let body = self.change_bodies(payer, |holder| {
            let (_, body) = holder.bodies.pop_first()?;
            holder.body_bytes -= body.bytes;
            Some(body)
        })?;
        body.end.notify_one();
        Some(body.bytes.saturating_sub(REJECTION_BYTES).max(1))
    }

    /// Changes the bodies of a payer, and its place among the payers with bodies.
    fn change_bodies<T>(&mut self, payer: Payer, change: impl FnOnce(&mut Holder) -> Option<T>) -> Option<T> {
        let holder = self.holders.get_mut(&payer)?;
        let before = holder.body_bytes;
        let changed = change(holder);
        let after = holder.body_bytes;
        if before != after {
            self.by_body_bytes.remove(&(before, payer));
            if after > 0 {
                self.by_body_bytes.insert((after, payer));
            }
        }
        changed
    }

    fn bytes_of(&self, payer: Payer) -> u64 {
        self.holders.get(&payer).map_or(0, |holder| holder.bytes)
    }

    fn set_bytes(&mut self, payer: Payer, bytes: u64) {
        let holder = self.holders.entry(payer).or_default();
        self.by_bytes.remove(&(holder.bytes, payer));
        holder.bytes = bytes;
        if bytes == 0 {
            self.holders.remove(&payer);
        } else if matches!(payer, Payer::Client(_)) {
            self.by_bytes.insert((bytes, payer));
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
        // What is left of an ended request is not freed.
        ledger.add_body(client(number), MIB + REJECTION_BYTES, Arc::clone(&end));
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

    #[tokio::test]
    async fn trusted_proxy_does_not_shield_the_bodies_of_clients() {
        for payer in [Payer::TrustedProxy(network(2)), client(3), Payer::TrustedProxy(network(1))] {
            let mut ledger = Ledger::new(16 * MIB);
            let slow = [(); 3].map(|()| body(&mut ledger, 1));
            assert_eq!(ledger.charge(Payer::TrustedProxy(network(2)), 9 * MIB), (0, Ok(())));

            assert_eq!(ledger.charge(payer, MIB), (1, Ok(())), "{payer:?}");

            assert!(has_ended(&slow[0]).await);
        }
    }

    #[tokio::test]
    async fn bodies_that_hold_most_end_first() {
        let mut ledger = Ledger::new(16 * MIB);
        let (few, many) = (body(&mut ledger, 1), [(); 2].map(|()| body(&mut ledger, 2)));
        assert_eq!(ledger.charge(client(1), 9 * MIB), (0, Ok(())));

        assert_eq!(ledger.charge(Payer::TrustedProxy(network(3)), MIB), (1, Ok(())));

        assert!(has_ended(&many[0]).await && !has_ended(&few).await);
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
            ledger.release(client(number), MIB);
        }

        assert_eq!((ledger.held, ledger.holders.len(), ledger.by_bytes.len()), (0, 0, 0));
        assert!(ledger.by_body_bytes.is_empty());
    }
}
