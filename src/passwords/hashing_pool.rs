//! The hashing threads, behind a queue that is bounded by the time that a job would wait.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread,
    time::Duration,
};

use argon2::Params;
use crossbeam_channel::{Receiver, Sender, select, unbounded};
use tokio::sync::oneshot;
use tracing::debug;

use super::{
    argon2id::Scratch,
    queue_load::{JobKind, QueueLoad},
    work_permit::{RunningJob, WorkPermit},
};
use crate::metrics::HashingMetrics;

/// By how many steps of `nice` the priority of the hashing threads is below that of the I/O threads.
const NICENESS: i32 = 10;

/// An error for a job that would wait, or has waited, longer than the longest wait of its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("hashing queue too long: a wait of {} ms", wait.as_millis())]
pub struct Overloaded {
    /// The wait of a job that is submitted now, or the time that this job has waited.
    pub wait: Duration,
}

pub(super) type HashJob = Box<dyn FnOnce(&mut Scratch) + Send>;

/// A pool of hashing threads. The threads end when it is dropped.
#[derive(Debug)]
pub(super) struct HashingPool {
    jobs: Sender<HashJob>,
    load: Arc<QueueLoad>,
    max_wait: Duration,
}

impl HashingPool {
    /// Starts the threads, each with reusable memory for hashes with these parameters.
    ///
    /// # Errors
    /// Returns the operating system's error if a thread cannot be started.
    pub fn start(
        threads: usize,
        max_wait: Duration,
        params: &Params,
        metrics: HashingMetrics,
    ) -> Result<Self, std::io::Error> {
        let (jobs, queue) = unbounded();
        let load = Arc::new(QueueLoad::new(threads, metrics));
        for number in 0..threads {
            let is_yielding = number > 0 && number + 1 == threads;
            let worker = HashWorker {
                queue: queue.clone(),
                scratch: Scratch::new(params),
                yielding_load: is_yielding.then(|| Arc::clone(&load)),
            };
            thread::Builder::new().name("hashing".to_owned()).spawn(move || worker.run())?;
        }
        Ok(Self { jobs, load, max_wait })
    }

    pub fn load(&self) -> &QueueLoad {
        &self.load
    }

    /// Checks whether a job would be accepted after `ahead` more hashes, for a caller who has already waited for `waited`.
    ///
    /// # Errors
    /// Returns [`Overloaded`] if the total wait would be too long.
    pub fn check_capacity(&self, ahead: usize, waited: Duration) -> Result<(), Overloaded> {
        let wait = self.load.wait_behind(ahead) + waited;
        if wait > self.max_wait {
            self.load.count_rejected();
            return Err(Overloaded { wait });
        }
        Ok(())
    }

    /// Runs a job on one of the threads and returns its result. A job is not run if its caller is gone or its permit is
    /// revoked.
    ///
    /// # Errors
    /// Returns [`Overloaded`] if the job would wait too long, or has waited too long when a thread takes it.
    ///
    /// # Panics
    /// Panics if the job panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        permit: &WorkPermit,
        kind: JobKind,
        work: impl FnOnce(&mut Scratch, &RunningJob) -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        self.check_capacity(0, Duration::ZERO)?;
        let (reply, outcome) = oneshot::channel();
        let (permitted, max_wait) = (permit.job(), self.max_wait);
        let (load, ticket) = (Arc::clone(&self.load), self.load.enqueue(kind));
        let job = move |scratch: &mut Scratch| {
            let wait = ticket.dequeue();
            // The caller is gone: a disconnected client, or a deadline.
            if reply.is_closed() {
                return;
            }
            if wait > max_wait {
                load.count_rejected();
                let _ = reply.send(Err(Overloaded { wait }));
                return;
            }
            let Some(running) = permitted.start() else { return };
            let outcome = ticket.run_timed(|| work(scratch, &running));
            drop(running);
            let _ = reply.send(Ok(outcome));
        };
        self.submit(Box::new(job));
        // A thread drops `reply` unused only if the job panicked: a permit that is borrowed here cannot be revoked.
        outcome.await.unwrap_or_else(|_| panic!("a hashing job panicked"))
    }

    /// Queues a job without limit and without a result.
    pub fn submit(&self, job: HashJob) {
        self.jobs.send(job).unwrap_or_else(|_| unreachable!("the threads run until the sender is dropped"));
    }
}

struct HashWorker {
    queue: Receiver<HashJob>,
    scratch: Scratch,
    /// Set for the one thread that pauses while other requests arrive.
    yielding_load: Option<Arc<QueueLoad>>,
}

impl HashWorker {
    fn run(mut self) {
        // On Linux a niceness belongs to the thread, not to the process (setpriority(2)).
        if let Err(error) = rustix::process::nice(NICENESS) {
            debug!(%error, "failed to lower the priority of a hashing thread");
        }
        while let Some(job) = self.next_job() {
            // The dropped reply reports a panic to the caller; the thread continues with the next job.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| job(&mut self.scratch)));
        }
    }

    /// Waits for the next job; returns `None` when the pool is dropped.
    fn next_job(&self) -> Option<HashJob> {
        let Some(load) = &self.yielding_load else { return self.queue.recv().ok() };
        loop {
            load.foreground_yield.pause_while_requests_arrive();
            select! {
                recv(self.queue) -> job => return job.ok(),
                recv(load.foreground_yield.wake_ups()) -> _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Instant};

    use futures_util::FutureExt as _;

    use super::*;
    use crate::metrics::Metrics;

    /// The longest wait for another thread in these tests.
    const TEST_TIMEOUT: Duration = Duration::from_secs(10);

    fn start(threads: usize, max_wait: Duration, metrics: HashingMetrics) -> HashingPool {
        let params = Params::new(8, 1, 1, None).expect("valid parameters");
        HashingPool::start(threads, max_wait, &params, metrics).expect("threads")
    }

    fn metrics() -> HashingMetrics {
        Metrics::new("").hashing
    }

    fn permit() -> WorkPermit {
        WorkPermit::for_command_line()
    }

    /// Occupies one thread until the sender is dropped.
    fn occupy(pool: &HashingPool) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel();
        pool.submit(Box::new(move |_| {
            let _ = released.recv();
        }));
        release
    }

    #[tokio::test]
    async fn job_that_would_wait_too_long_is_rejected_at_once() {
        let metrics = metrics();
        let pool = start(1, Duration::from_millis(100), metrics.clone());
        let (permit, release) = (permit(), occupy(&pool));
        let mut waiting: Vec<_> = Vec::new();

        // Each job counts as 40 ms until a hash has been measured, so the fourth would wait for 120 ms.
        for _ in 0..3 {
            let mut job = Box::pin(pool.run(&permit, JobKind::Hash, |_, _| ()));
            assert!(job.as_mut().now_or_never().is_none());
            waiting.push(job);
        }

        let error = pool.run(&permit, JobKind::Hash, |_, _| ()).await.expect_err("the queue is too long");
        assert_eq!(error.wait, Duration::from_millis(120));
        assert_eq!((metrics.rejections.get(), metrics.queue_depth.get()), (1, 3));
        assert_eq!(pool.check_capacity(0, Duration::ZERO), Err(error));
        drop(release);
        futures_util::future::join_all(waiting).await;
        assert_eq!(pool.check_capacity(0, Duration::ZERO), Ok(()));
    }

    #[tokio::test]
    async fn job_that_has_waited_too_long_is_not_run() {
        let pool = start(1, Duration::ZERO, metrics());

        let error = pool.run(&permit(), JobKind::Hash, |_, _| ()).await.expect_err("it has waited");

        assert!(error.wait > Duration::ZERO);
        assert_eq!(pool.load().hashes(), 0);
    }

    #[tokio::test]
    async fn job_whose_caller_is_gone_is_not_run() {
        let pool = start(1, Duration::from_mins(1), metrics());
        let (permit, release) = (permit(), occupy(&pool));
        let mut abandoned = Box::pin(pool.run(&permit, JobKind::Hash, |_, _| ()));
        assert!(abandoned.as_mut().now_or_never().is_none());

        drop(abandoned);
        drop(release);

        pool.run(&permit, JobKind::PolicyCheck, |_, _| ()).await.expect("an empty queue");
        assert_eq!(pool.load().hashes(), 0);
    }

    /// Returns whether two jobs run at the same time: whether the first meets the second within 200 ms.
    fn two_jobs_overlap(pool: &HashingPool, meanwhile: impl Fn() + Send + 'static) -> bool {
        let (arrive, arrival) = mpsc::channel();
        let (report, reports) = mpsc::channel();
        pool.submit(Box::new(move |_| {
            let meets = (0..20).any(|_| {
                meanwhile();
                arrival.recv_timeout(Duration::from_millis(10)).is_ok()
            });
            report.send(meets).expect("a receiver");
        }));
        pool.submit(Box::new(move |_| {
            let _ = arrive.send(());
        }));
        reports.recv_timeout(TEST_TIMEOUT).expect("a report of the first job")
    }

    /// Waits until a condition holds.
    fn wait_until(expected: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + TEST_TIMEOUT;
        while !condition() {
            assert!(Instant::now() < deadline, "expected within {TEST_TIMEOUT:?}: {expected}");
            thread::yield_now();
        }
    }

    #[test]
    fn one_thread_pauses_while_other_requests_arrive() {
        let pool = Arc::new(start(2, Duration::from_mins(1), metrics()));
        let foreground_yield = &pool.load().foreground_yield;
        foreground_yield.notice_request();
        assert!((0..100).any(|_| two_jobs_overlap(&pool, || {})), "pausing is not enabled yet");

        foreground_yield.enable();
        wait_until("one thread pauses", || {
            foreground_yield.notice_request();
            foreground_yield.is_paused()
        });
        let requests = Arc::clone(&pool);
        assert!(!two_jobs_overlap(&pool, move || requests.load().foreground_yield.notice_request()));

        wait_until("the paused thread resumes", || !foreground_yield.is_paused());
        assert!((0..100).any(|_| two_jobs_overlap(&pool, || {})), "no more requests arrive");
    }
}
