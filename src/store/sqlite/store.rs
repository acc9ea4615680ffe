//! The embedded store: a writer thread and a reader thread on one SQLite file.

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::{
        Arc,
        mpsc::{self, TrySendError},
    },
    thread,
};

use rusqlite::{Connection, Params, Transaction, TransactionBehavior};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::error::{DataDirError, STORE};
use super::schema;
use crate::{
    clock::{Clock, whole_milliseconds},
    store::{StoreError, TimeBudget},
};

/// The embedded store. Its threads end when it is dropped.
pub struct SqliteStore {
    writer: SqliteWorker,
    reader: SqliteWorker,
    clock: Arc<dyn Clock>,
}

impl SqliteStore {
    /// Starts the threads for a file whose schema is up to date. `writer` is an open connection to it.
    pub(super) fn start(writer: Connection, path: &Path, clock: Arc<dyn Clock>) -> Result<Self, DataDirError> {
        let reader = schema::connect(path)?;
        let start = |name, connection| {
            SqliteWorker::start(name, connection).map_err(|source| DataDirError::Io { path: path.to_owned(), source })
        };
        Ok(Self { writer: start("store-writer", writer)?, reader: start("store-reader", reader)?, clock })
    }

    /// Returns the time in whole milliseconds, as it is stored.
    pub(super) fn now(&self) -> OffsetDateTime {
        whole_milliseconds(self.clock.now())
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        time: &TimeBudget,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        time.limit(STORE, self.reader.run(TransactionBehavior::Deferred, job)).await
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        time: &TimeBudget,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        time.limit(STORE, self.writer.run(TransactionBehavior::Immediate, job)).await
    }
}

/// How many jobs may wait for a thread. Its callers give up in time, but their jobs stay queued for as long as a disk hangs.
const MAX_JOBS: usize = 4096;

type SqliteJob = Box<dyn FnOnce(&mut Connection) + Send>;

/// A thread that owns a connection and runs one job after the other.
struct SqliteWorker(mpsc::SyncSender<SqliteJob>);

impl SqliteWorker {
    fn start(name: &str, mut connection: Connection) -> io::Result<Self> {
        let (jobs, queue) = mpsc::sync_channel::<SqliteJob>(MAX_JOBS);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            for job in queue {
                // A panic rolls the job's transaction back and drops its reply. The thread continues.
                let _ = panic::catch_unwind(AssertUnwindSafe(|| job(&mut connection)));
            }
        })?;
        Ok(Self(jobs))
    }

    async fn run<T: Send + 'static>(
        &self,
        behavior: TransactionBehavior,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, response) = oneshot::channel();
        let job: SqliteJob = Box::new(move |connection| {
            if reply.is_closed() {
                return;
            }
            let outcome = transact(connection, behavior, |transaction| {
                // The file may have been locked for long. If the caller is gone by now, the job must take no effect.
                if reply.is_closed() {
                    return Err(StoreError::unavailable(STORE, "the caller is gone"));
                }
                job(transaction)
            });
            let _ = reply.send(outcome);
        });
        self.0.try_send(job).map_err(|error| {
            let is_full = matches!(error, TrySendError::Full(_));
            StoreError::unavailable(STORE, if is_full { "too many waiting jobs" } else { "the thread has ended" })
        })?;
        response.await.map_err(|_| StoreError::unavailable(STORE, "the job panicked"))?
    }
}

fn transact<T>(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.transaction_with_behavior(behavior)?;
    let outcome = job(&transaction)?;
    transaction.commit()?;
    Ok(outcome)
}

/// Runs a statement, and returns the number of rows that it changed.
pub(super) fn execute(transaction: &Transaction<'_>, query: &str, params: impl Params) -> Result<u64, StoreError> {
    let changed = transaction.prepare_cached(query).and_then(|mut statement| statement.execute(params))?;
    Ok(u64::try_from(changed).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::{super::data_dir::DataDirectory, *};
    use crate::clock::SystemClock;

    fn open(directory: &Path) -> Result<SqliteStore, DataDirError> {
        let directory = DataDirectory::open(directory)?;
        directory.store(&directory.lock()?, Arc::new(SystemClock))
    }

    async fn pragma(store: &SqliteStore, name: &'static str) -> rusqlite::types::Value {
        let time = TimeBudget::new(Duration::from_mins(1));
        let read = move |transaction: &Transaction<'_>| {
            transaction.pragma_query_value(None, name, |row| row.get(0)).map_err(StoreError::from)
        };
        let value = store.write(&time, read).await.expect("a value");
        assert_eq!(value, store.read(&time, read).await.expect("a value"));
        value
    }

    #[tokio::test]
    async fn commits_wait_for_the_disk() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = open(directory.path()).expect("an empty directory can be opened");

        assert_eq!(pragma(&store, "journal_mode").await, "wal".to_owned().into());
        // 2 is FULL (SQLite, "PRAGMA synchronous").
        assert_eq!(pragma(&store, "synchronous").await, 2.into());
    }

    #[tokio::test]
    async fn jobs_of_a_disk_that_hangs_are_limited() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = open(directory.path()).expect("an empty directory can be opened");
        let (release, gate) = mpsc::channel::<()>();
        let hang = move |_: &Transaction<'_>| Ok(gate.recv().is_ok());
        store.write(&TimeBudget::new(Duration::from_millis(100)), hang).await.expect_err("it hangs");

        let time = TimeBudget::new(Duration::from_mins(1));
        let refused = (0..=MAX_JOBS).find_map(|_| store.write(&time, |_| Ok(())).now_or_never());
        assert_eq!(refused, Some(Err(StoreError::unavailable(STORE, "too many waiting jobs"))));

        drop(release);
        // The jobs whose callers are gone take no time, but they take their turn.
        let read = async || store.write(&time, |_| Ok(())).await.is_ok();
        tokio::time::timeout(Duration::from_mins(1), async { while !read().await {} }).await.expect("in time");
    }

    #[tokio::test]
    async fn panic_fails_only_its_own_job() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = open(directory.path()).expect("an empty directory can be opened");
        let time = TimeBudget::new(Duration::from_mins(1));

        let outcome: Result<(), _> = store.write(&time, |_| panic!("a panic on purpose")).await;

        assert!(matches!(outcome, Err(StoreError::Unavailable { .. })));
        assert!(crate::store::UserStore::ping(&store, &time).await.is_ok());
        assert_eq!(store.write(&time, |_| Ok(7)).await, Ok(7));
    }
}
