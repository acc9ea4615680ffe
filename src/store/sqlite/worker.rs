//! A thread of the store: takes the jobs that wait, and runs them in one transaction.

use std::{
    collections::VecDeque,
    io,
    panic::{self, AssertUnwindSafe},
    sync::mpsc::{self, TrySendError},
    thread,
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::{
    error::STORE,
    job::{Job, Reply, job},
};
use crate::store::StoreError;

/// How many jobs may wait for a thread. Their callers give up in time, but the jobs stay queued for as long as a disk
/// hangs.
pub(super) const MAX_JOBS: usize = 4096;

/// How many jobs run in one transaction at most: all of 64 clients with two jobs each. A job of a request takes less than
/// 50 µs, so the first one of a group of writes waits for the others for less than 7 ms.
pub(super) const MAX_GROUP: usize = 128;

/// How many prepared statements a connection keeps: more than there are queries. The default of rusqlite is 16.
const MAX_STATEMENTS: usize = 64;

/// The jobs of one transaction.
type Group = VecDeque<Box<dyn Job>>;

/// A thread that owns a connection and runs jobs on it.
pub(super) struct SqliteWorker(mpsc::SyncSender<Box<dyn Job>>);

impl SqliteWorker {
    /// Starts a thread that writes.
    pub(super) fn writer(connection: Connection) -> io::Result<Self> {
        Self::start("store-writer", connection, write)
    }

    /// Starts a thread that reads.
    pub(super) fn reader(connection: Connection) -> io::Result<Self> {
        Self::start("store-reader", connection, read)
    }

    fn start(name: &str, mut connection: Connection, run: fn(&mut Connection, &mut Group)) -> io::Result<Self> {
        connection.set_prepared_statement_cache_capacity(MAX_STATEMENTS);
        let (jobs, queue) = mpsc::sync_channel::<Box<dyn Job>>(MAX_JOBS);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut group = Group::with_capacity(MAX_GROUP);
            while let Ok(first) = queue.recv() {
                group.push_back(first);
                group.extend(queue.try_iter().take(MAX_GROUP - 1));
                // A transaction that is lost leaves the jobs that it has not run.
                while !group.is_empty() {
                    run(&mut connection, &mut group);
                }
            }
        })?;
        Ok(Self(jobs))
    }

    /// Runs a job and returns its outcome. If the call is dropped before the job runs, the job takes no effect.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, response) = oneshot::channel();
        self.queue(work, reply)?;
        response.await.map_err(|_| StoreError::unavailable(STORE, "the thread has ended"))?
    }

    /// Queues a job.
    ///
    /// # Errors
    /// Returns [`StoreError::Unavailable`] if [`MAX_JOBS`] jobs wait already.
    pub(super) fn queue<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
        reply: impl Reply<T> + 'static,
    ) -> Result<(), StoreError> {
        self.0.try_send(job(work, reply)).map_err(|error| {
            let is_full = matches!(error, TrySendError::Full(_));
            StoreError::unavailable(STORE, if is_full { "too many waiting jobs" } else { "the thread has ended" })
        })
    }
}

/// Runs jobs in one read transaction. They were asked for before it begins, so it sees every write that was acknowledged
/// before.
fn read(connection: &mut Connection, group: &mut Group) {
    let Some(transaction) = begin(connection, TransactionBehavior::Deferred, group) else { return };
    let mut jobs = Vec::with_capacity(group.len());
    while let Some(mut job) = group.pop_front() {
        if job.is_abandoned() {
            continue;
        }
        catch_panic(|| job.run(&transaction));
        jobs.push(job);
        // SQLite ends the transaction at some errors of the disk.
        if transaction.is_autocommit() {
            break;
        }
    }
    drop(transaction);
    // Not earlier, because each response wakes a thread, which interrupts this one: with 64 callers of two reads each, the
    // process needs 3.0 µs per caller instead of 4.1 µs.
    for job in jobs {
        job.finish(Ok(()));
    }
}

/// Runs jobs in one write transaction, each in its own savepoint, and sends the responses after the commit.
fn write(connection: &mut Connection, group: &mut Group) {
    let Some(transaction) = begin(connection, TransactionBehavior::Immediate, group) else { return };
    let mut jobs = Vec::with_capacity(group.len());
    let mut outcome = Ok(());
    while let Some(mut job) = group.pop_front() {
        // The file may have been locked for long.
        if job.is_abandoned() {
            continue;
        }
        outcome = run_in_savepoint(&transaction, &mut *job);
        jobs.push(job);
        if outcome.is_err() {
            break;
        }
    }
    let outcome = match outcome {
        Ok(()) => transaction.commit().map_err(StoreError::from),
        Err(error) => {
            drop(transaction);
            Err(error)
        }
    };
    for job in jobs {
        job.finish(outcome.clone());
    }
}

/// Drops the jobs whose callers are gone, and begins a transaction for the others. If that fails, they fail.
fn begin<'connection>(
    connection: &'connection mut Connection,
    behavior: TransactionBehavior,
    group: &mut Group,
) -> Option<Transaction<'connection>> {
    group.retain(|job| !job.is_abandoned());
    if group.is_empty() {
        return None;
    }
    match connection.transaction_with_behavior(behavior) {
        Ok(transaction) => Some(transaction),
        Err(error) => {
            let error = StoreError::from(error);
            group.drain(..).for_each(|job| job.finish(Err(error.clone())));
            None
        }
    }
}

/// Runs a job whose effect is undone if it fails or panics. An error is one of the transaction, which must be rolled back.
fn run_in_savepoint(transaction: &Transaction<'_>, job: &mut dyn Job) -> Result<(), StoreError> {
    let run = |statement| transaction.prepare_cached(statement).and_then(|mut statement| statement.execute([]));
    run("SAVEPOINT job")?;
    let has_succeeded = catch_panic(|| job.run(transaction)).unwrap_or(false);
    // Some errors of the disk make SQLite roll back the whole transaction.
    if transaction.is_autocommit() {
        return Err(StoreError::unavailable(STORE, "the transaction was rolled back"));
    }
    if !has_succeeded {
        run("ROLLBACK TO job")?;
    }
    run("RELEASE job")?;
    Ok(())
}

/// Returns `None` if the work panics; the panic hook has logged it.
fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}
