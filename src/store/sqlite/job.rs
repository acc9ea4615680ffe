//! Jobs of the threads of the store: work in a transaction, and the caller that waits for its outcome.

use rusqlite::Transaction;
use tokio::sync::oneshot;

use super::error::STORE;
use crate::store::StoreError;

/// Work for a thread of the store.
pub(super) trait Job: Send {
    /// Returns whether the caller is gone, so that the work must take no effect.
    fn is_abandoned(&self) -> bool;

    /// Does the work and keeps its outcome. Returns whether it succeeded.
    fn run(&mut self, transaction: &Transaction<'_>) -> bool;

    /// Sends the outcome to the caller. If the work succeeded, but its transaction did not, sends the error of the
    /// transaction.
    fn finish(self: Box<Self>, transaction: Result<(), StoreError>);
}

/// Receives the outcome of a job.
pub(super) trait Reply<T>: Send {
    /// Returns whether nobody waits for the outcome.
    fn is_abandoned(&self) -> bool;

    /// Sends the outcome. Dropped without it if the work panicked.
    fn send(self, outcome: Result<T, StoreError>);
}

impl<T: Send> Reply<T> for oneshot::Sender<Result<T, StoreError>> {
    fn is_abandoned(&self) -> bool {
        self.is_closed()
    }

    fn send(self, outcome: Result<T, StoreError>) {
        // An error means that the caller has gone meanwhile.
        let _ = self.send(outcome);
    }
}

/// Creates a job.
pub(super) fn job<T: Send + 'static>(
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    reply: impl Reply<T> + 'static,
) -> Box<dyn Job> {
    Box::new(ReplyingJob { work: Some(work), outcome: None, reply })
}

struct ReplyingJob<W, T, R> {
    work: Option<W>,
    outcome: Option<Result<T, StoreError>>,
    reply: R,
}

impl<T, W, R> Job for ReplyingJob<W, T, R>
where
    T: Send,
    W: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send,
    R: Reply<T>,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_abandoned()
    }

    fn run(&mut self, transaction: &Transaction<'_>) -> bool {
        self.outcome = self.work.take().map(|work| work(transaction));
        matches!(self.outcome, Some(Ok(_)))
    }

    fn finish(self: Box<Self>, transaction: Result<(), StoreError>) {
        let Self { work, outcome, reply } = *self;
        match (outcome, transaction) {
            (Some(Ok(_)), Err(error)) => reply.send(Err(error)),
            (Some(outcome), _) => reply.send(outcome),
            (None, Err(error)) if work.is_some() => reply.send(Err(error)),
            (None, _) => reply.send(Err(StoreError::unavailable(STORE, "the job panicked"))),
        }
    }
}
