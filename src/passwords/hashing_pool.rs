//! The hashing threads.

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use argon2::Params;
use tokio::sync::oneshot;
use tracing::debug;

use super::{
    argon2id::Scratch,
    job_queue::{HashJob, JobQueue, Overloaded, WaitLimit},
    queue_load::{JobKind, QueueLoad},
    work_permit::{RunningJob, WorkPermit},
};

/// By how many steps of `nice` the priority of the hashing threads is below that of the I/O threads.
const NICENESS: i32 = 10;

/// A pool of hashing threads. The threads end when it is dropped.
pub(super) struct HashingPool {
    queue: Arc<JobQueue>,
    load: Arc<QueueLoad>,
    max_wait: Duration,
}

impl HashingPool {
    /// Starts the threads, each with reusable memory for hashes with these parameters.
    ///
    /// # Errors
    /// Returns the operating system's error if a thread cannot be started.
    pub fn start(load: QueueLoad, limit: WaitLimit, params: &Params) -> Result<Self, std::io::Error> {
        let (threads, load) = (load.threads(), Arc::new(load));
        let queue = Arc::new(JobQueue::new(Arc::clone(&load), limit));
        let pool = Self { queue, load, max_wait: limit.max_wait };
        for number in 0..threads {
            let worker = HashWorker {
                queue: Arc::clone(&pool.queue),
                scratch: Scratch::new(params),
                is_yielding: number > 0 && number + 1 == threads,
            };
            thread::Builder::new().name("hashing".to_owned()).spawn(move || worker.run())?;
        }
        Ok(pool)
    }

    pub fn load(&self) -> &QueueLoad {
        &self.load
    }

    pub fn queue(&self) -> &JobQueue {
        &self.queue
    }

    /// Runs a job on one of the threads and returns its result. A job is not run if its caller is gone or its permit is
    /// revoked. Adds the wait for a thread to those of the permit.
    ///
    /// # Errors
    /// Returns [`Overloaded`] if the waits of the permit would be too long together, or are when a thread takes the job.
    ///
    /// # Panics
    /// Panics if the job panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        permit: &WorkPermit,
        kind: JobKind,
        work: impl FnOnce(&mut Scratch, &RunningJob) -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let (reply, outcome) = oneshot::channel();
        let (permitted, max_wait, load) = (permit.job(), self.max_wait, Arc::clone(&self.load));
        let waited = self.queue.waited(permit);
        let job: HashJob = Box::new(move |scratch, queued| {
            // The caller is gone: a disconnected client, or a deadline.
            if reply.is_closed() {
                return;
            }
            let wait = waited + queued;
            if wait > max_wait {
                load.count_rejected();
                let _ = reply.send(Err(Overloaded { wait }));
                return;
            }
            let Some(running) = permitted.start() else { return };
            let outcome = load.run_timed(kind, || work(scratch, &running));
            drop(running);
            let _ = reply.send(Ok((outcome, queued)));
        });
        let _queued = self.queue.push(permit, kind, job)?;
        // A thread drops `reply` unused only if the job panicked: a permit that is borrowed here cannot be revoked.
        let (outcome, queued) = outcome.await.unwrap_or_else(|_| panic!("a hashing job panicked"))?;
        self.queue.add_wait(permit, queued);
        Ok(outcome)
    }
}

impl Drop for HashingPool {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl fmt::Debug for HashingPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HashingPool").field("load", &self.load).finish_non_exhaustive()
    }
}

struct HashWorker {
    queue: Arc<JobQueue>,
    scratch: Scratch,
    /// Set for the one thread that pauses while other requests arrive.
    is_yielding: bool,
}

impl HashWorker {
    fn run(mut self) {
        // On Linux a niceness belongs to the thread, not to the process (setpriority(2)).
        if let Err(error) = rustix::process::nice(NICENESS) {
            debug!(%error, "failed to lower the priority of a hashing thread");
        }
        while let Some(job) = self.queue.take(self.is_yielding) {
            // The dropped reply reports a panic to the caller; the thread continues with the next job.
            let started = Instant::now();
            let _ = panic::catch_unwind(AssertUnwindSafe(|| (job.run)(&mut self.scratch, job.wait)));
            self.queue.end(&job.charge, started.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::metrics::{HashingMetrics, Metrics};

    /// The longest wait for another thread in these tests.
    const TEST_TIMEOUT: Duration = Duration::from_secs(10);

    fn start(threads: usize, max_wait: Duration, metrics: HashingMetrics) -> HashingPool {
        let params = Params::new(8, 1, 1, None).expect("valid parameters");
        let limit = WaitLimit { max_wait, is_of_request: true };
        HashingPool::start(QueueLoad::new(threads, metrics), limit, &params).expect("threads")
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
        pool.queue().push_unlimited(Box::new(move |_, _| {
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
        assert_eq!((metrics.queue.rejections.get(), metrics.queue.depth.get()), (1, 3));
        assert_eq!(pool.queue().check_capacity(None, 0, Duration::ZERO), Err(error));
        drop(release);
        futures_util::future::join_all(waiting).await;
        assert_eq!(pool.queue().check_capacity(None, 0, Duration::ZERO), Ok(()));
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

    #[tokio::test]
    async fn client_of_another_network_does_not_wait_behind_all_jobs() {
        let pool = start(1, Duration::from_millis(100), metrics());
        let release = occupy(&pool);
        let [first, neighbour, other] = ["192.0.2.1", "192.0.2.2", "198.51.100.1"]
            .map(|address| WorkPermit::for_client(address.parse().expect("an address")));
        let mut waiting: Vec<_> = Vec::new();

        // Each job counts as 40 ms. The neighbour's waits for one of the first client, the other's for one of their network.
        for permit in [&first, &first, &first, &neighbour, &other] {
            let mut job = Box::pin(pool.run(permit, JobKind::Hash, |_, _| ()));
            assert!(job.as_mut().now_or_never().is_none(), "{permit:?} is not rejected");
            waiting.push(job);
        }

        for permit in [&first, &neighbour] {
            assert!(pool.run(permit, JobKind::Hash, |_, _| ()).await.is_err(), "{permit:?}");
        }
        drop(release);
        futures_util::future::join_all(waiting).await;
    }

    #[tokio::test]
    async fn waits_of_a_request_count_together() {
        let pool = start(1, Duration::from_mins(1), metrics());
        let permit = WorkPermit::for_client("192.0.2.1".parse().expect("an address"));
        let release = occupy(&pool);
        let mut queued = Box::pin(pool.run(&permit, JobKind::Hash, |_, _| ()));
        assert!(queued.as_mut().now_or_never().is_none());
        drop(release);
        queued.await.expect("a short queue");
        assert!(permit.waited() > Duration::ZERO, "the wait for a thread");

        permit.add_wait(Duration::from_mins(1));

        let error = pool.run(&permit, JobKind::Hash, |_, _| ()).await.expect_err("it has waited");
        assert!(error.wait > Duration::from_mins(1));
    }

    #[tokio::test]
    async fn job_whose_request_has_waited_too_long_is_not_run() {
        let max_wait = Duration::from_mins(1);
        let pool = start(1, max_wait, metrics());
        let permit = WorkPermit::for_client("192.0.2.1".parse().expect("an address"));
        permit.add_wait(max_wait);
        let release = occupy(&pool);
        let mut queued = Box::pin(pool.run(&permit, JobKind::Hash, |_, _| ()));
        assert!(queued.as_mut().now_or_never().is_none(), "it is expected to start at once");

        drop(release);

        let error = queued.await.expect_err("it has waited");
        assert!(error.wait > max_wait);
        assert_eq!(pool.load().hashes(), 0);
    }

    /// Returns whether two jobs run at the same time: whether the first meets the second within 200 ms.
    fn two_jobs_overlap(pool: &HashingPool, meanwhile: impl Fn() + Send + 'static) -> bool {
        let (arrive, arrival) = mpsc::channel();
        let (report, reports) = mpsc::channel();
        pool.queue().push_unlimited(Box::new(move |_, _| {
            let meets = (0..20).any(|_| {
                meanwhile();
                arrival.recv_timeout(Duration::from_millis(10)).is_ok()
            });
            report.send(meets).expect("a receiver");
        }));
        pool.queue().push_unlimited(Box::new(move |_, _| {
            let _ = arrive.send(());
        }));
        reports.recv_timeout(TEST_TIMEOUT).expect("a report of the first job")
    }

    #[test]
    fn one_thread_pauses_while_other_requests_arrive() {
        let pool = Arc::new(start(2, Duration::from_mins(1), metrics()));
        let foreground_yield = &pool.load().foreground_yield;
        foreground_yield.notice_request();
        assert!((0..100).any(|_| two_jobs_overlap(&pool, || {})), "pausing is not enabled yet");

        foreground_yield.enable();
        // A busy machine may delay a request beyond the end of a pause.
        let overlaps = || {
            foreground_yield.notice_request();
            let requests = Arc::clone(&pool);
            two_jobs_overlap(&pool, move || requests.load().foreground_yield.notice_request())
        };
        assert!((0..100).any(|_| !overlaps()), "one thread pauses");

        assert!((0..100).any(|_| two_jobs_overlap(&pool, || {})), "no more requests arrive");
    }
}
