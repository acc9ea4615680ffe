//! A queue that its clients share in equal parts of time: networks take turns, and within a network its addresses.
//!
//! The client whose jobs have taken the least time since it began to wait is next (start-time fair queueing: Goyal, Vin and
//! Cheng, SIGCOMM 1996). A client that comes back before its turn keeps the time that it has used, so it gains nothing by
//! an empty queue.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Jobs by network, by address and in the order of their arrival.
pub type FairQueue<T> = Shared<IpAddr, Shared<IpAddr, Fifo<T>>>;

/// The path of a client in a [`FairQueue`]: its network and its address.
pub type ClientPath = (IpAddr, (IpAddr, ()));

/// Returns the path of a client: its network is the first 24 bits of IPv4 and the first 48 of IPv6, the most that one site
/// gets (RFC 6177); its address all of IPv4 and the first 64 bits of IPv6. Commands and other work of the server itself
/// share the path of `None`.
pub fn client_path(client: Option<IpAddr>) -> ClientPath {
    match client.map(|address| address.to_canonical()) {
        None => (Ipv4Addr::UNSPECIFIED.into(), (Ipv4Addr::UNSPECIFIED.into(), ())),
        Some(IpAddr::V4(address)) => {
            let network = Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << 8));
            (network.into(), (address.into(), ()))
        }
        Some(IpAddr::V6(address)) => {
            let prefix = |bits: u32| Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - bits))).into();
            (prefix(48), (prefix(64), ()))
        }
    }
}

/// A queued job.
#[derive(Debug)]
pub struct Job<T> {
    /// The expected duration, in microseconds.
    pub cost_us: u64,
    /// What is to be done.
    pub work: T,
}

/// A queue of jobs, or several queues that take turns.
pub trait Queue<T>: Default {
    /// The keys of the queues that contain a job, from the outermost.
    type Path: Copy;

    /// Adds a job. Ids grow from job to job.
    fn push(&mut self, path: Self::Path, id: u64, job: Job<T>);
    /// Removes the next job, and counts its duration for its client.
    fn pop(&mut self) -> Option<(u64, Job<T>)>;
    /// Removes a job that is not to be done.
    fn remove(&mut self, path: Self::Path, id: u64) -> Option<Job<T>>;
    /// Returns the sum of the durations of all jobs, in microseconds.
    fn pending_us(&self) -> u64;
    /// Returns the duration of the next job, in microseconds.
    fn next_us(&self) -> u64;
    fn is_empty(&self) -> bool;
    /// Returns the durations of all jobs that are done before a new one, if its client queues `ahead_us` before it, in
    /// microseconds.
    fn work_before(&self, path: Self::Path, ahead_us: u64) -> u64;
}

/// Jobs in the order of their arrival.
#[derive(Debug)]
pub struct Fifo<T> {
    jobs: BTreeMap<u64, Job<T>>,
    pending_us: u64,
}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self { jobs: BTreeMap::new(), pending_us: 0 }
    }
}

impl<T> Queue<T> for Fifo<T> {
    type Path = ();

    fn push(&mut self, (): (), id: u64, job: Job<T>) {
        self.pending_us += job.cost_us;
        self.jobs.insert(id, job);
    }

    fn pop(&mut self) -> Option<(u64, Job<T>)> {
        let (id, job) = self.jobs.pop_first()?;
        self.pending_us -= job.cost_us;
        Some((id, job))
    }

    fn remove(&mut self, (): (), id: u64) -> Option<Job<T>> {
        let job = self.jobs.remove(&id)?;
        self.pending_us -= job.cost_us;
        Some(job)
    }

    fn pending_us(&self) -> u64 {
        self.pending_us
    }

    fn next_us(&self) -> u64 {
        self.jobs.first_key_value().map_or(0, |(_, job)| job.cost_us)
    }

    fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    fn work_before(&self, (): (), ahead_us: u64) -> u64 {
        self.pending_us.saturating_add(ahead_us)
    }
}

/// The turn of a member: the one with the smallest is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn<K> {
    /// The time that the member has used, counted from that of the others when it came.
    used_us: u64,
    /// Decides between equals: who came first.
    order: u64,
    key: K,
}

#[derive(Debug)]
struct Member<K, Q> {
    turn: Turn<K>,
    queue: Q,
}

/// Queues that take turns.
#[derive(Debug)]
pub struct Shared<K, Q> {
    members: HashMap<K, Member<K, Q>>,
    /// The turns of the members with jobs.
    waiting: BTreeSet<Turn<K>>,
    /// The turns of members without jobs that have used more time than those that wait.
    ahead: BTreeSet<Turn<K>>,
    order: u64,
    pending_us: u64,
}

impl<K, Q> Default for Shared<K, Q> {
    fn default() -> Self {
        Self { members: HashMap::new(), waiting: BTreeSet::new(), ahead: BTreeSet::new(), order: 0, pending_us: 0 }
    }
}

impl<K: Copy + Eq + Hash + Ord, Q> Shared<K, Q> {
    /// Returns what a new member counts as used: as much as the member that is next, which has come before.
    fn start_us(&self) -> u64 {
        self.waiting.first().map_or(0, |next| next.used_us)
    }

    /// Gives a member its place among those with jobs or those without, after `change`.
    fn update<T, R>(&mut self, key: K, change: impl FnOnce(&mut Member<K, Q>) -> R) -> R
    where
        Q: Queue<T>,
    {
        self.order += 1;
        let new_turn = Turn { used_us: self.start_us(), order: self.order, key };
        let member = self.members.entry(key).or_insert_with(|| Member { turn: new_turn, queue: Q::default() });
        if !self.waiting.remove(&member.turn) {
            self.ahead.remove(&member.turn);
            member.turn = member.turn.max(new_turn);
        }
        let before = member.turn;
        let changed = change(member);
        if member.turn != before {
            member.turn.order = self.order;
        }
        if member.queue.is_empty() { &mut self.ahead } else { &mut self.waiting }.insert(member.turn);
        while let Some(first) = self.ahead.first().copied()
            && (first.used_us <= self.start_us() || self.waiting.is_empty())
        {
            self.ahead.remove(&first);
            self.members.remove(&first.key);
        }
        changed
    }
}

impl<T, K: Copy + Eq + Hash + Ord, Q: Queue<T>> Queue<T> for Shared<K, Q> {
    type Path = (K, Q::Path);

    fn push(&mut self, (key, path): Self::Path, id: u64, job: Job<T>) {
        self.pending_us += job.cost_us;
        self.update(key, |member| member.queue.push(path, id, job));
    }

    fn pop(&mut self) -> Option<(u64, Job<T>)> {
        let next = *self.waiting.first()?;
        let taken = self.update(next.key, |member| {
            let taken = member.queue.pop();
            member.turn.used_us += taken.as_ref().map_or(0, |(_, job)| job.cost_us);
            taken
        });
        self.pending_us -= taken.as_ref().map_or(0, |(_, job)| job.cost_us);
        taken
    }

    fn remove(&mut self, (key, path): Self::Path, id: u64) -> Option<Job<T>> {
        self.members.get(&key)?;
        let removed = self.update(key, |member| member.queue.remove(path, id));
        self.pending_us -= removed.as_ref().map_or(0, |job| job.cost_us);
        removed
    }

    fn pending_us(&self) -> u64 {
        self.pending_us
    }

    fn next_us(&self) -> u64 {
        let next = self.waiting.first().and_then(|turn| self.members.get(&turn.key));
        next.map_or(0, |member| member.queue.next_us())
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn work_before(&self, (key, path): Self::Path, ahead_us: u64) -> u64 {
        let (used_us, own_us) = match self.members.get(&key) {
            Some(member) => (member.turn.used_us.max(self.start_us()), member.queue.work_before(path, ahead_us)),
            None => (self.start_us(), Q::default().work_before(path, ahead_us)),
        };
        let turn_us = used_us.saturating_add(own_us);
        // Each of the others works until it has used as much, and ends the job that it has begun by then.
        let before = self.waiting.iter().take_while(|turn| turn.used_us <= turn_us).filter(|turn| turn.key != key);
        let others_us = before.filter_map(|turn| {
            let queue = &self.members.get(&turn.key)?.queue;
            Some(queue.pending_us().min((turn_us - turn.used_us).saturating_add(queue.next_us())))
        });
        others_us.fold(own_us, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_US: u64 = 10;

    /// A queue of jobs that are named by their client and number.
    #[derive(Default)]
    struct Clients {
        queue: FairQueue<String>,
        ids: u64,
    }

    fn path(address: &str) -> ClientPath {
        client_path(Some(address.parse().expect("an address")))
    }

    impl Clients {
        fn push(&mut self, address: &str, cost_us: u64) -> u64 {
            self.ids += 1;
            self.queue.push(path(address), self.ids, Job { cost_us, work: address.to_owned() });
            self.ids
        }

        fn push_many(&mut self, address: &str, count: usize) {
            for _ in 0..count {
                self.push(address, ONE_US);
            }
        }

        /// Returns the clients of the next jobs.
        fn pop_many(&mut self, count: usize) -> Vec<String> {
            (0..count).map_while(|_| self.queue.pop().map(|(_, job)| job.work)).collect()
        }

        /// Returns how many jobs a new one of this client waits for.
        fn jobs_before(&self, address: &str) -> u64 {
            self.queue.work_before(path(address), 0) / ONE_US
        }

        /// Adds a job, and returns how many are done before it.
        fn measured_jobs_before(mut self, address: &str) -> u64 {
            let id = self.push(address, ONE_US);
            let before = (0..1000).position(|_| self.queue.pop().is_some_and(|(popped, _)| popped == id));
            u64::try_from(before.expect("it is in the queue")).expect("a small number")
        }
    }

    #[test]
    fn networks_take_turns() {
        let mut clients = Clients::default();
        clients.push_many("192.0.2.1", 4);
        clients.push_many("198.51.100.1", 2);

        let served = clients.pop_many(9);

        let [a, b] = ["192.0.2.1", "198.51.100.1"];
        assert_eq!(served, [a, b, a, b, a, a]);
    }

    #[test]
    fn addresses_of_a_network_share_its_turns() {
        let mut clients = Clients::default();
        clients.push_many("192.0.2.1", 3);
        clients.push_many("192.0.2.2", 1);
        clients.push_many("2001:db8::1", 4);

        let served = clients.pop_many(9);

        let [a, b, c] = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];
        assert_eq!(served, [a, c, b, c, a, c, a, c]);
    }

    #[test]
    fn shares_are_shares_of_time() {
        let mut clients = Clients::default();
        for _ in 0..3 {
            clients.push("192.0.2.1", 3 * ONE_US);
        }
        clients.push_many("198.51.100.1", 6);

        let served = clients.pop_many(8);

        let [long, short] = ["192.0.2.1", "198.51.100.1"];
        assert_eq!(served, [long, short, short, short, long, short, short, short]);
    }

    #[test]
    fn client_gains_nothing_by_an_empty_queue() {
        let mut clients = Clients::default();
        clients.push_many("192.0.2.1", 20);
        let mut served = Vec::new();

        // The other client queues its next job as soon as the last one has been taken.
        for _ in 0..10 {
            clients.push_many("198.51.100.1", 1);
            served.extend(clients.pop_many(2));
        }

        let count = served.iter().filter(|client| *client == "192.0.2.1").count();
        assert!((9..=11).contains(&count), "{served:?}");
    }

    #[test]
    fn networks_are_24_bits_of_ipv4_and_48_of_ipv6() {
        let network = |address| path(address).0;
        let address = |address| path(address).1.0;

        assert_eq!(network("192.0.2.1"), network("192.0.2.200"));
        assert_ne!(network("192.0.2.1"), network("192.0.3.1"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:ffff::1"));
        assert_ne!(network("2001:db8:1::1"), network("2001:db8:2::1"));
        assert_eq!(address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff::1"));
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
        assert_eq!(path("::ffff:192.0.2.1"), path("192.0.2.1"));
    }

    #[test]
    fn new_client_waits_for_one_job_of_each_other_network() {
        let mut clients = Clients::default();
        clients.push_many("192.0.2.1", 50);
        clients.push_many("198.51.100.1", 50);
        clients.pop_many(10);

        assert_eq!(clients.jobs_before("203.0.113.1"), 2);
        assert_eq!(clients.jobs_before("192.0.2.1"), 90);
    }

    #[test]
    fn predicted_wait_is_never_below_the_real_one() {
        let addresses = ["192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8::1", "2001:db8:0:1::1", "203.0.113.1"];
        for popped in 0..12 {
            for address in addresses {
                let fill = || {
                    let mut clients = Clients::default();
                    clients.push_many("192.0.2.1", 12);
                    clients.push_many("198.51.100.1", 3);
                    clients.push_many("2001:db8::1", 5);
                    clients.push_many("192.0.2.2", 2);
                    clients.pop_many(popped);
                    clients
                };
                let predicted = fill().jobs_before(address);
                let measured = fill().measured_jobs_before(address);

                assert!((measured..=measured + 3).contains(&predicted), "{address}, {popped}: {predicted} {measured}");
            }
        }
    }

    #[test]
    fn queue_without_jobs_keeps_no_clients() {
        let mut clients = Clients::default();
        clients.push_many("192.0.2.1", 3);
        let abandoned = clients.push("198.51.100.1", ONE_US);
        clients.pop_many(1);

        assert!(clients.queue.remove(path("198.51.100.1"), abandoned).is_some());
        assert!(clients.queue.remove(path("198.51.100.1"), abandoned).is_none());
        clients.pop_many(2);

        assert!(clients.queue.is_empty() && clients.queue.members.is_empty());
        assert_eq!(clients.queue.pending_us(), 0);
    }
}
