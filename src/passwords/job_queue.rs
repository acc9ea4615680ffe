//! The queue of the hashing threads, which is bounded by the time that a job would wait.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{
    argon2id::Scratch,
    client_path::{ClientPath, client_path},
    fair_queue::FairQueue,
    fifo::{Fifo, Job, MeasuredDuration, Queue as _},
    queue_load::{JobKind, QueueLoad, whole_us},
    work_permit::WorkPermit,
};

/// An error for a job that would wait, or has waited, longer than the longest wait of its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("hashing queue too long: a wait of {} ms", wait.as_millis())]
pub struct Overloaded {
    /// The wait of a job that is submitted now, or the time that this job has waited; with the earlier waits of its request.
    pub wait: Duration,
}

/// How long jobs may wait.
#[derive(Debug, Clone, Copy)]
pub struct WaitLimit {
    pub max_wait: Duration,
    /// Whether the waits of a request in all such queues count together.
    pub is_of_request: bool,
}

/// Runs a job on a thread, given the time that the job has been queued.
pub type HashJob = Box<dyn FnOnce(&mut Scratch, Duration) + Send>;

/// A queue of jobs whose clients take turns.
///
/// A client alone may queue as many jobs as the threads do in `max_wait`. A client that comes later, while n - 1 others wait,
/// may queue about an nth of that, so all together queue at most 1 + 1/2 + … + 1/n times as many.
///
/// A request that has compared a password continues before others begin, and is not rejected for its earlier waits: otherwise
/// a full queue would compare passwords for requests whose next job it then rejects, and complete none. Each such job follows
/// one that had its turn, and counts for its client, so few of them wait at a time.
pub struct JobQueue {
    state: Mutex<State>,
    /// Wakes a thread when there is a job.
    available: Condvar,
    /// Wakes the yielding thread. It may pause in spite of a job, so it must not take the place of another thread.
    available_to_yielding: Condvar,
    load: Arc<QueueLoad>,
    limit: WaitLimit,
}

#[derive(Default)]
struct State {
    jobs: FairQueue<HashJob>,
    /// The jobs of requests that have compared a password.
    continuing: Fifo<HashJob>,
    /// The arrivals of the queued jobs, by the id of the job. Jobs of the server itself have none, and no deadline.
    arrivals: HashMap<u64, Arrival>,
    /// The deadlines and ids of the same jobs.
    deadlines: BTreeSet<(Instant, u64)>,
    last_id: u64,
    /// The expected durations of the jobs that run, in microseconds.
    running_us: u64,
    is_closed: bool,
}

impl State {
    /// Removes a job that is not to be done.
    fn remove(&mut self, path: ClientPath, id: u64) -> Option<Job<HashJob>> {
        self.continuing.remove((), id).or_else(|| self.jobs.remove(path, id))
    }
}

/// The arrival of a client's job.
struct Arrival {
    path: ClientPath,
    time: Instant,
    /// When its request has waited too long.
    deadline: Instant,
}

/// A job that a thread has taken from the queue.
pub struct TakenJob {
    pub run: HashJob,
    /// How long it has been queued.
    pub wait: Duration,
    pub charge: Charge,
}

/// The expected duration of a job that runs, which counts for its client until the measured one is known.
#[derive(Default)]
pub struct Charge {
    /// `None` if the job counts for no client.
    path: Option<ClientPath>,
    expected_us: u64,
}

impl JobQueue {
    pub fn new(load: Arc<QueueLoad>, limit: WaitLimit) -> Self {
        let (available, available_to_yielding) = (Condvar::new(), Condvar::new());
        Self { state: Mutex::default(), available, available_to_yielding, load, limit }
    }

    /// Returns the earlier waits of a request that count against the limit.
    pub fn waited(&self, permit: &WorkPermit) -> Duration {
        if self.limit.is_of_request && !permit.has_compared() { permit.waited() } else { Duration::ZERO }
    }

    /// Adds the wait of a job to those of its request, if they count together.
    pub fn add_wait(&self, permit: &WorkPermit, wait: Duration) {
        if self.limit.is_of_request {
            permit.add_wait(wait);
        }
    }

    /// Checks whether a job of a client would be accepted after `ahead` more hashes of the client, if its caller has already
    /// waited for `waited`.
    ///
    /// # Errors
    /// Returns [`Overloaded`] if the total wait would be too long.
    pub fn check_capacity(&self, client: Option<IpAddr>, ahead: usize, waited: Duration) -> Result<(), Overloaded> {
        self.check(self.expected_wait(&self.state.lock(), client_path(client), ahead) + waited)
    }

    /// Returns the expected wait of a client's next job.
    pub fn wait_of(&self, client: Option<IpAddr>) -> Duration {
        self.expected_wait(&self.state.lock(), client_path(client), 0)
    }

    /// Adds a job. Dropping the result removes the job if no thread has taken it.
    ///
    /// # Errors
    /// Returns [`Overloaded`] if the job would wait too long, with the earlier waits of its request.
    pub fn push(&self, permit: &WorkPermit, kind: JobKind, run: HashJob) -> Result<QueuedJob<'_>, Overloaded> {
        let path = client_path(permit.client());
        let mut state = self.state.lock();
        let waited = self.waited(permit);
        let job = Job { cost_us: self.load.expected_us(kind), work: run };
        let id = if permit.has_compared() {
            self.check(self.load.time_for(state.continuing.pending_us() + state.running_us))?;
            self.add(&mut state, |state, id| state.continuing.push((), id, job))
        } else {
            self.check(self.expected_wait(&state, path, 0) + waited)?;
            self.add(&mut state, |state, id| state.jobs.push(path, id, job))
        };
        let time = Instant::now();
        let deadline = time + self.limit.max_wait.saturating_sub(waited);
        state.arrivals.insert(id, Arrival { path, time, deadline });
        state.deadlines.insert((deadline, id));
        self.load.queue_metrics.depth.inc();
        Ok(QueuedJob { queue: self, path, id })
    }

    /// Adds a job that occupies a thread, regardless of the wait.
    #[cfg(test)]
    pub fn push_unlimited(&self, run: HashJob) {
        let job = Job { cost_us: 0, work: run };
        self.add(&mut self.state.lock(), |state, id| state.jobs.push(client_path(None), id, job));
    }

    /// Waits for a job and takes it. The yielding thread waits longer, while requests arrive that need no hash. Returns
    /// `None` if the queue is closed and has no job.
    pub fn take(&self, is_yielding: bool) -> Option<TakenJob> {
        let mut state = self.state.lock();
        loop {
            if let Some(pause) = self.load.foreground_yield.remaining_pause()
                && is_yielding
                && !state.is_closed
            {
                self.available_to_yielding.wait_for(&mut state, pause);
                continue;
            }
            if let Some(job) = self.next(&mut state) {
                return Some(job);
            }
            if state.is_closed {
                return None;
            }
            let available = if is_yielding { &self.available_to_yielding } else { &self.available };
            available.wait(&mut state);
        }
    }

    /// Records the end of a job that a thread has taken, and its duration: clients take turns by measured time.
    pub fn end(&self, charge: &Charge, duration: Duration) {
        let Charge { path, expected_us } = *charge;
        let mut state = self.state.lock();
        state.running_us -= expected_us;
        if let Some(path) = path {
            state.jobs.correct(path, MeasuredDuration { expected_us, measured_us: whole_us(duration) });
        }
    }

    /// Ends the wait of the threads after the last job.
    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.available.notify_all();
        self.available_to_yielding.notify_all();
    }

    fn check(&self, wait: Duration) -> Result<(), Overloaded> {
        if wait > self.limit.max_wait {
            self.load.count_rejected();
            return Err(Overloaded { wait });
        }
        Ok(())
    }

    fn expected_wait(&self, state: &State, path: ClientPath, ahead: usize) -> Duration {
        let hash_us = self.load.expected_us(JobKind::Hash);
        let ahead_us = hash_us.saturating_mul(u64::try_from(ahead).unwrap_or(u64::MAX));
        let queued_us = state.jobs.work_before(path, ahead_us).saturating_add(state.continuing.pending_us());
        self.load.time_for(queued_us.saturating_add(state.running_us))
    }

    /// Adds a job under a new id.
    fn add(&self, state: &mut State, push: impl FnOnce(&mut State, u64)) -> u64 {
        state.last_id += 1;
        let id = state.last_id;
        push(state, id);
        self.available.notify_one();
        self.available_to_yielding.notify_one();
        id
    }

    /// Takes a job that has waited too long, so that its caller learns so in time, or else the next one.
    fn next(&self, state: &mut State) -> Option<TakenJob> {
        if let Some((deadline, id)) = state.deadlines.first().copied()
            && deadline < Instant::now()
        {
            let path = state.arrivals.get(&id)?.path;
            let job = state.remove(path, id)?;
            let (wait, _) = self.leave(state, id);
            return Some(TakenJob { run: job.work, wait, charge: Charge::default() });
        }
        let continuing = state.continuing.pop();
        let is_continuing = continuing.is_some();
        let (id, job) = continuing.or_else(|| state.jobs.pop())?;
        let (wait, path) = self.leave(state, id);
        if let Some(path) = path.filter(|_| is_continuing) {
            state.jobs.correct(path, MeasuredDuration { expected_us: 0, measured_us: job.cost_us });
        }
        state.running_us += job.cost_us;
        Some(TakenJob { run: job.work, wait, charge: Charge { path, expected_us: job.cost_us } })
    }

    fn remove(&self, state: &mut State, path: ClientPath, id: u64) -> Option<Job<HashJob>> {
        let removed = state.remove(path, id)?;
        self.leave(state, id);
        Some(removed)
    }

    /// Records that a job has left the queue. Returns how long it has been queued, and its client if it has one.
    fn leave(&self, state: &mut State, id: u64) -> (Duration, Option<ClientPath>) {
        let Some(Arrival { path, time, deadline }) = state.arrivals.remove(&id) else { return (Duration::ZERO, None) };
        state.deadlines.remove(&(deadline, id));
        let wait = time.elapsed();
        self.load.queue_metrics.wait.observe(wait.as_secs_f64());
        self.load.queue_metrics.depth.dec();
        (wait, Some(path))
    }
}

/// A job in the queue. Dropping it removes the job if no thread has taken it.
pub struct QueuedJob<'queue> {
    queue: &'queue JobQueue,
    path: ClientPath,
    id: u64,
}

impl Drop for QueuedJob<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        let removed = self.queue.remove(&mut state, self.path, self.id);
        drop(state);
        // After the lock: the job owns a password and a reply.
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    fn idle_queue() -> JobQueue {
        let limit = WaitLimit { max_wait: MINUTE, is_of_request: true };
        JobQueue::new(Arc::new(QueueLoad::new(1, Metrics::new("").hashing)), limit)
    }

    fn client(address: &str) -> WorkPermit {
        WorkPermit::for_client(address.parse().expect("an address"))
    }

    fn push<'queue>(queue: &'queue JobQueue, permit: &WorkPermit) -> QueuedJob<'queue> {
        queue.push(permit, JobKind::PolicyCheck, Box::new(|_, _| ())).expect("a short queue")
    }

    /// Takes the next job and ends it after this time. Returns its network.
    fn run(queue: &JobQueue, duration: Duration) -> Option<IpAddr> {
        let charge = queue.take(false)?.charge;
        let network = charge.path.map(|(network, _)| network);
        queue.end(&charge, duration);
        network
    }

    #[test]
    fn request_that_has_compared_a_password_continues_before_others_begin() {
        let queue = idle_queue();
        let [first, other, neighbour] = [client("192.0.2.1"), client("198.51.100.1"), client("192.0.2.2")];
        let _queued = [&first, &other, &other, &neighbour].map(|permit| push(&queue, permit));
        let charge = queue.take(false).expect("a job").charge;
        first.job().start().expect("a valid permit").record_comparison(true);

        queue.end(&charge, SECOND);
        let _continuing = push(&queue, &first);
        let served = [SECOND; 4].map(|duration| run(&queue, duration));

        // Both jobs of the first network count, so it waits for two of the other.
        let [first, other] = [first, other].map(|permit| Some(client_path(permit.client()).0));
        assert_eq!(served, [first, other, other, first]);
    }

    #[test]
    fn request_that_has_compared_a_password_is_not_rejected_for_its_waits() {
        let queue = idle_queue();
        let permit = client("192.0.2.1");
        permit.add_wait(2 * MINUTE);
        assert!(queue.push(&permit, JobKind::PolicyCheck, Box::new(|_, _| ())).is_err());

        permit.job().start().expect("a valid permit").record_comparison(true);

        drop(push(&queue, &permit));
        assert!(queue.next(&mut queue.state.lock()).is_none(), "a dropped job is removed");
    }

    #[test]
    fn turns_are_taken_by_measured_time() {
        let queue = idle_queue();
        let [slow, other] = [client("192.0.2.1"), client("198.51.100.1")];
        let _queued = [&slow, &slow, &other, &other].map(|permit| push(&queue, permit));

        let served = [SECOND, SECOND / 4, SECOND / 4, SECOND].map(|duration| run(&queue, duration));

        let [slow, other] = [slow, other].map(|permit| Some(client_path(permit.client()).0));
        assert_eq!(served, [slow, other, other, slow]);
    }
}
