//! A queue that its clients share in equal parts of time: networks take turns, and within a network its addresses.
//!
//! The client whose jobs have taken the least time since it began to wait is next (start-time fair queueing: Goyal, Vin and
//! Cheng, SIGCOMM 1996). A job counts with its expected duration when it starts, and with the measured one when it has ended.
//! A client that comes back before its turn keeps the time that it has used, so it gains nothing by an empty queue.
//!
//! A new client starts at the fair share of those who wait, which grows with each job (the virtual time of weighted fair
//! queueing: Demers, Keshav and Shenker, SIGCOMM 1989). So new clients, however many, delay one that has used its turn by no
//! more than their share.

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
    /// What each member could have used in equal parts. At least the least and at most the most of those that wait, so that
    /// neither they nor a new member wait longer if jobs do not take their expected durations.
    clock_us: u64,
    order: u64,
    pending_us: u64,
}

impl<K, Q> Default for Shared<K, Q> {
    fn default() -> Self {
        Self {
            members: HashMap::new(),
            waiting: BTreeSet::new(),
            ahead: BTreeSet::new(),
            clock_us: 0,
            order: 0,
            pending_us: 0,
        }
    }
}

impl<K: Copy + Eq + Hash + Ord, Q> Shared<K, Q> {
    /// Adds a duration that one of the members has used to the clock, or removes it.
    fn advance(&mut self, duration_us: u64, change: impl Fn(u64, u64) -> u64) {
        let members = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX).max(1);
        self.clock_us = change(self.clock_us, duration_us.div_ceil(members));
    }

    /// Keeps the clock within the turns of the members that wait.
    fn limit_clock(&mut self) {
        self.clock_us = match (self.waiting.first(), self.waiting.last()) {
            (Some(first), Some(last)) => self.clock_us.clamp(first.used_us, last.used_us),
            _ => 0,
        };
    }

    /// Gives a member its place among those with jobs or those without, after `change`.
    fn update<T, R>(&mut self, key: K, change: impl FnOnce(&mut Member<K, Q>) -> R) -> R
    where
        Q: Queue<T>,
    {
        self.order += 1;
        let new_turn = Turn { used_us: self.clock_us, order: self.order, key };
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
        self.limit_clock();
        while let Some(first) = self.ahead.first().copied()
            && (first.used_us <= self.clock_us || self.waiting.is_empty())
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
        self.advance(self.next_us(), u64::saturating_add);
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
        self.advance(duration.measured_us, u64::saturating_add);
        self.advance(duration.expected_us, u64::saturating_sub);
        self.limit_clock();
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
            Some(member) => {
                let start_us = if member.queue.is_empty() { self.clock_us } else { 0 };
                (member.turn.used_us.max(start_us), member.queue.work_before(path, ahead_us))
            }
            None => (self.clock_us, Q::default().work_before(path, ahead_us)),
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
mod tests;
