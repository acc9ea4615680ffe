//! The queue of the hashing threads, which is bounded by the time that a job would wait.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{
    argon2id::Scratch,
    fair_queue::{ClientPath, FairQueue, Job, Queue as _, client_path},
    queue_load::{JobKind, QueueLoad},
};

/// An error for a job that would wait, or has waited, longer than the longest wait of its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("hashing queue too long: a wait of {} ms", wait.as_millis())]
pub struct Overloaded {
    /// The wait of a job that is submitted now, or the time that this job has waited.
    pub wait: Duration,
}

/// What a thread does for a job, given the time that the job has waited.
pub type HashJob = Box<dyn FnOnce(&mut Scratch, Duration) + Send>;

/// A queue of jobs whose clients take turns.
///
/// A client alone may queue as many jobs as the threads do in `max_wait`. A client that comes later, while n - 1 others wait,
/// may queue about an nth of that, so all together queue at most 1 + 1/2 + … + 1/n times as many.
pub struct JobQueue {
    state: Mutex<State>,
    /// Wakes a thread when there is a job.
    available: Condvar,
    /// Wakes the yielding thread. It may pause in spite of a job, so it must not take the place of another thread.
    available_to_yielding: Condvar,
    load: Arc<QueueLoad>,
    max_wait: Duration,
}

#[derive(Default)]
struct State {
    jobs: FairQueue<HashJob>,
    /// The clients of the queued jobs and the times of their arrival, by the id of the job. Jobs of the server itself have
    /// none, and no deadline.
    arrivals: BTreeMap<u64, (ClientPath, Instant)>,
    last_id: u64,
    /// The expected durations of the jobs that run, in microseconds.
    running_us: u64,
    is_closed: bool,
}

/// A job that a thread has taken from the queue.
pub struct TakenJob {
    pub run: HashJob,
    /// How long it has been queued.
    pub wait: Duration,
    pub cost: RunningCost,
}

/// The expected duration of a job that runs, in microseconds.
pub struct RunningCost(u64);

impl JobQueue {
    pub fn new(load: Arc<QueueLoad>, max_wait: Duration) -> Self {
        let (available, available_to_yielding) = (Condvar::new(), Condvar::new());
        Self { state: Mutex::default(), available, available_to_yielding, load, max_wait }
    }

    /// Checks whether a job of a client would be accepted after `ahead` more hashes of the client, if its caller has already
    /// waited for `waited`.
    ///
    /// # Errors
    /// Returns [`Overloaded`] if the total wait would be too long.
    pub fn check_capacity(&self, client: Option<IpAddr>, ahead: usize, waited: Duration) -> Result<(), Overloaded> {
        self.check(&self.state.lock(), client_path(client), ahead, waited)
    }

    /// Returns the expected wait of a client's next job.
    pub fn wait_of(&self, client: Option<IpAddr>) -> Duration {
        self.expected_wait(&self.state.lock(), client_path(client), 0)
    }

    /// Adds a job of a client; `None` for a command. Dropping the result removes the job if no thread has taken it.
    ///
    /// # Errors
    /// Returns [`Overloaded`] if the job would wait too long.
    pub fn push(&self, client: Option<IpAddr>, kind: JobKind, run: HashJob) -> Result<QueuedJob<'_>, Overloaded> {
        let path = client_path(client);
        let mut state = self.state.lock();
        self.check(&state, path, 0, Duration::ZERO)?;
        let id = self.add(&mut state, path, Job { cost_us: self.load.expected_us(kind), work: run });
        state.arrivals.insert(id, (path, Instant::now()));
        self.load.metrics.queue_depth.inc();
        Ok(QueuedJob { queue: self, path, id })
    }

    /// Adds a job of the server itself, regardless of the wait.
    pub fn push_internal(&self, run: HashJob) {
        self.add(&mut self.state.lock(), client_path(None), Job { cost_us: 0, work: run });
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

    /// Records the end of a job that a thread has taken.
    pub fn end(&self, cost: RunningCost) {
        self.state.lock().running_us -= cost.0;
    }

    /// Ends the wait of the threads after the last job.
    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.available.notify_all();
        self.available_to_yielding.notify_all();
    }

    fn check(&self, state: &State, path: ClientPath, ahead: usize, waited: Duration) -> Result<(), Overloaded> {
        let wait = self.expected_wait(state, path, ahead) + waited;
        if wait > self.max_wait {
            self.load.count_rejected();
            return Err(Overloaded { wait });
        }
        Ok(())
    }

    fn expected_wait(&self, state: &State, path: ClientPath, ahead: usize) -> Duration {
        let hash_us = self.load.expected_us(JobKind::Hash);
        let ahead_us = hash_us.saturating_mul(u64::try_from(ahead).unwrap_or(u64::MAX));
        let queued_us = state.jobs.work_before(path, ahead_us);
        self.load.time_for(queued_us.saturating_add(state.running_us))
    }

    fn add(&self, state: &mut State, path: ClientPath, job: Job<HashJob>) -> u64 {
        state.last_id += 1;
        state.jobs.push(path, state.last_id, job);
        self.available.notify_one();
        self.available_to_yielding.notify_one();
        state.last_id
    }

    /// Takes the oldest job if it has waited too long, so that its caller learns so in time, or else the next one.
    fn next(&self, state: &mut State) -> Option<TakenJob> {
        let oldest = state.arrivals.first_key_value().map(|(id, (path, arrival))| (*id, *path, arrival.elapsed()));
        if let Some((id, path, wait)) = oldest
            && wait > self.max_wait
        {
            let job = self.remove(state, path, id)?;
            return Some(TakenJob { run: job.work, wait, cost: RunningCost(0) });
        }
        let (id, job) = state.jobs.pop()?;
        let wait = self.leave(state, id);
        state.running_us += job.cost_us;
        Some(TakenJob { run: job.work, wait, cost: RunningCost(job.cost_us) })
    }

    fn remove(&self, state: &mut State, path: ClientPath, id: u64) -> Option<Job<HashJob>> {
        let removed = state.jobs.remove(path, id)?;
        self.leave(state, id);
        Some(removed)
    }

    /// Records that a job of a client has left the queue, and returns how long it has waited.
    fn leave(&self, state: &mut State, id: u64) -> Duration {
        let Some((_, arrival)) = state.arrivals.remove(&id) else { return Duration::ZERO };
        let wait = arrival.elapsed();
        self.load.metrics.queue_wait.observe(wait.as_secs_f64());
        self.load.metrics.queue_depth.dec();
        wait
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
