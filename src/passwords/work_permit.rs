//! The permit for work on the hashing threads.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::queue_load::whole_us;

/// A permit for work on the hashing threads. Without one, no job enters their queue.
///
/// Only `rate_limit` and the command line create permits, so work is counted against its client before it is queued;
/// `tests/architecture` checks this.
#[derive(Debug)]
pub struct WorkPermit {
    client: Option<IpAddr>,
    /// How long the client's request has waited in queues, in microseconds.
    waited_us: AtomicU64,
    progress: Arc<watch::Sender<WorkProgress>>,
}

/// What the hashing threads have done for a permit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkProgress {
    /// The result of the last comparison of a password with a hash.
    pub comparison: Option<bool>,
    /// Whether a job has started.
    pub has_started: bool,
    is_running: bool,
    is_revoked: bool,
}

impl WorkPermit {
    /// Creates a permit for a client whose work has been counted, or is not limited.
    #[must_use]
    pub(crate) fn for_client(client: IpAddr) -> Self {
        Self::new(Some(client))
    }

    /// Creates a permit for a command, which only an administrator can run.
    #[must_use]
    pub fn for_command_line() -> Self {
        Self::new(None)
    }

    fn new(client: Option<IpAddr>) -> Self {
        Self { client, waited_us: AtomicU64::new(0), progress: Arc::default() }
    }

    /// Returns the client; `None` for a command.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// Returns whether a job has started.
    pub(crate) fn has_started(&self) -> bool {
        self.progress.borrow().has_started
    }

    /// Returns whether a password has been compared.
    pub(super) fn has_compared(&self) -> bool {
        self.progress.borrow().comparison.is_some()
    }

    /// Adds the time that the request has waited in a queue to that of its next jobs: all its waits together are limited.
    /// The jobs of a command are independent of each other, so their waits do not add up.
    pub(super) fn add_wait(&self, wait: Duration) {
        if self.client.is_some() {
            self.waited_us.fetch_add(whole_us(wait), Ordering::Relaxed);
        }
    }

    /// Returns how long the request has waited in queues.
    pub(super) fn waited(&self) -> Duration {
        Duration::from_micros(self.waited_us.load(Ordering::Relaxed))
    }

    /// Revokes the permit, so that none of its jobs starts any more. Waits for the end of a job that has started.
    pub(crate) async fn revoke(self) -> WorkProgress {
        self.progress.send_modify(|progress| progress.is_revoked = true);
        let mut progress = self.progress.subscribe();
        let ended = progress.wait_for(|progress| !progress.is_running).await;
        *ended.unwrap_or_else(|_| unreachable!("this permit owns the sender"))
    }

    pub(super) fn job(&self) -> PermittedJob {
        PermittedJob(Arc::clone(&self.progress))
    }
}

/// A job in the queue, which belongs to a permit.
pub(super) struct PermittedJob(Arc<watch::Sender<WorkProgress>>);

impl PermittedJob {
    /// Starts the job. Returns `None` if its permit has been revoked.
    pub fn start(self) -> Option<RunningJob> {
        // One step: after a revocation that has found no job running, none starts.
        let is_started = self.0.send_if_modified(|progress| {
            progress.is_running = !progress.is_revoked;
            progress.has_started |= progress.is_running;
            progress.is_running
        });
        is_started.then_some(RunningJob(self.0))
    }
}

/// A job on a hashing thread. Its end is recorded when it is dropped, even by a panic.
pub(super) struct RunningJob(Arc<watch::Sender<WorkProgress>>);

impl RunningJob {
    /// Records the result of a comparison.
    pub fn record_comparison(&self, matches: bool) {
        self.0.send_modify(|progress| progress.comparison = Some(matches));
    }
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        self.0.send_modify(|progress| progress.is_running = false);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn revocation_waits_for_a_job_that_has_started() {
        let permit = WorkPermit::for_command_line();
        let job = permit.job().start().expect("a valid permit");
        let mut revoked = Box::pin(permit.revoke());
        assert_eq!(revoked.as_mut().now_or_never(), None);

        job.record_comparison(true);
        drop(job);

        assert_eq!(revoked.now_or_never().and_then(|progress| progress.comparison), Some(true));
    }

    #[test]
    fn no_job_starts_after_the_revocation() {
        let permit = WorkPermit::for_command_line();
        let job = permit.job();

        assert_eq!(permit.revoke().now_or_never().map(|progress| progress.comparison), Some(None));
        assert!(job.start().is_none());
    }
}
