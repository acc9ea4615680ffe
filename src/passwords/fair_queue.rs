//! A queue that its clients share in equal parts of time: networks take turns, and within a network its addresses.
//!
//! The client whose jobs have taken the least time since it began to wait is next (start-time fair queueing: Goyal, Vin and
//! Cheng, SIGCOMM 1996). A job counts with its expected duration when it starts, and with the measured one when it has ended.
//! A client that comes back before its turn keeps the time that it has used, so it gains nothing by an empty queue.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    net::IpAddr,
};

use super::fifo::{Fifo, Job, MeasuredDuration, Queue};

/// Jobs by network, by address and in the order of their arrival.
pub type FairQueue<T> = Shared<IpAddr, Shared<IpAddr, Fifo<T>>>;

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

    fn correct(&mut self, (key, path): Self::Path, duration: MeasuredDuration) {
        self.update(key, |member| {
            let used_us = member.turn.used_us.saturating_add(duration.measured_us);
            member.turn.used_us = used_us.saturating_sub(duration.expected_us);
            member.queue.correct(path, duration);
        });
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
    use super::{
        super::client_path::{ClientPath, client_path},
        *,
    };

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

        /// Counts this duration for a job that was expected to take [`ONE_US`].
        fn measure(&mut self, address: &str, measured_us: u64) {
            self.queue.correct(path(address), MeasuredDuration { expected_us: ONE_US, measured_us });
        }

        /// Runs the next jobs, which take this long, and returns their clients.
        fn run_many(&mut self, count: usize, measured_us: impl Fn(&str) -> u64) -> Vec<String> {
            let run = |_| {
                let (_, job) = self.queue.pop()?;
                self.measure(&job.work, measured_us(&job.work));
                Some(job.work)
            };
            (0..count).map_while(run).collect()
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
    fn shares_are_shares_of_measured_time() {
        let mut clients = Clients::default();
        let [heavy, light] = ["192.0.2.1", "198.51.100.1"];
        clients.push_many(heavy, 4);
        clients.push_many(light, 8);

        let served = clients.run_many(8, |client| if client == heavy { 3 * ONE_US } else { ONE_US });

        assert_eq!(served, [heavy, light, light, light, heavy, light, light, light]);
    }

    #[test]
    fn shares_of_addresses_are_shares_of_measured_time() {
        let mut clients = Clients::default();
        let [heavy, light, other] = ["192.0.2.1", "192.0.2.2", "198.51.100.1"];
        clients.push_many(heavy, 2);
        clients.push_many(light, 4);
        clients.push_many(other, 5);

        let served = clients.run_many(11, |client| if client == heavy { 3 * ONE_US } else { ONE_US });

        assert_eq!(served, [heavy, other, other, other, light, other, light, other, light, heavy, light]);
    }

    #[test]
    fn time_that_a_job_did_not_take_is_given_back() {
        let mut clients = Clients::default();
        let [short, long] = ["192.0.2.1", "198.51.100.1"];
        clients.push_many(short, 6);
        clients.push_many(long, 3);

        let served = clients.run_many(9, |client| if client == short { ONE_US / 2 } else { ONE_US });

        assert_eq!(served, [short, long, short, long, short, short, long, short, short]);
    }

    #[test]
    fn time_of_the_last_job_counts_after_its_end() {
        let mut clients = Clients::default();
        let [heavy, other] = ["192.0.2.1", "198.51.100.1"];
        clients.push_many(heavy, 1);
        let (popped, _) = clients.queue.pop().expect("a job");
        assert_eq!(popped, 1);
        clients.push_many(other, 4);

        clients.measure(heavy, 4 * ONE_US);
        clients.push_many(heavy, 1);

        assert_eq!(clients.pop_many(5), [other, other, other, heavy, other]);
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
