//! Jobs, their durations, and the queue of one client's jobs.

use std::collections::BTreeMap;

/// A queued job.
#[derive(Debug)]
pub struct Job<T> {
    /// The expected duration, in microseconds.
    pub cost_us: u64,
    pub work: T,
}

/// The durations of a job that has ended, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct MeasuredDuration {
    pub expected_us: u64,
    pub measured_us: u64,
}

/// A queue of jobs, or several queues that take turns.
pub trait Queue<T>: Default {
    /// The keys of the queues that contain a job, from the outermost.
    type Path: Copy;

    /// Adds a job. Ids grow from job to job.
    fn push(&mut self, path: Self::Path, id: u64, job: Job<T>);
    /// Removes the next job, and counts its expected duration for its client.
    fn pop(&mut self) -> Option<(u64, Job<T>)>;
    /// Removes a job that is not to be done.
    fn remove(&mut self, path: Self::Path, id: u64) -> Option<Job<T>>;
    /// Counts the measured duration of a job instead of the expected one, also if its client has no more jobs.
    fn correct(&mut self, path: Self::Path, duration: MeasuredDuration);
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

    fn correct(&mut self, (): (), _: MeasuredDuration) {}

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
