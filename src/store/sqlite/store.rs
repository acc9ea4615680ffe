//! The embedded store: a writer thread and a reader thread on one SQLite file.
//!
//! Each thread owns a connection. A store call queues a job for a thread and waits for its outcome. The thread takes the
//! jobs that wait, and runs them in one transaction.
//!
//! - **Reads**: the jobs are taken, then the transaction begins. Therefore a job sees every write that was acknowledged
//!   before the call; no job joins a transaction that has begun. A job that fails or panics fails only itself.
//! - **Writes** (group commit): each job has its own savepoint in one immediate transaction. If a job fails or panics, its
//!   effect is undone, and the others continue. The responses are sent after the commit, which waits for the disk once for
//!   all of them. If the commit fails, all of them fail.
//! - **Callers**: a job whose caller is gone when its turn comes takes no effect: SQLite may have waited for the lock of the
//!   file. If the caller goes later, while the rest of the group runs (at most a few milliseconds) or the disk syncs, the
//!   job takes effect.
//! - **Limits**: the queue of a thread and the size of a group; the time of a call is its [`TimeBudget`].
//! - **Uses of sessions** are written once a minute for a session. A request waits for that only if the session has an idle
//!   limit.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{Connection, Params, Row, Transaction};
use time::OffsetDateTime;

use super::{
    error::{DataDirError, STORE},
    job::Reply,
    schema,
    session_uses::SessionUses,
    worker::SqliteWorker,
};
use crate::{
    clock::{Clock, from_unix_ms, whole_milliseconds},
    store::{StoreError, TimeBudget},
};

/// The maximum size of the reader's cache, in KiB: the inner pages of the indexes of a million users and their audit events.
const READER_CACHE_KIB: i32 = 8 * 1024;

/// The embedded store. Its threads end when it is dropped.
pub struct SqliteStore {
    writer: SqliteWorker,
    reader: SqliteWorker,
    uses: SessionUses,
    clock: Arc<dyn Clock>,
    path: PathBuf,
}

impl SqliteStore {
    /// Starts the threads for a file whose schema is up to date. `writer` is an open connection to it.
    pub(super) fn start(writer: Connection, path: &Path, clock: Arc<dyn Clock>) -> Result<Self, DataDirError> {
        let reader = schema::connect(path)?;
        let cached = reader.pragma_update(None, "cache_size", -READER_CACHE_KIB);
        cached.map_err(|source| DataDirError::Database { path: path.to_owned(), source })?;
        let io_error = |source| DataDirError::Io { path: path.to_owned(), source };
        Ok(Self {
            writer: SqliteWorker::writer(writer).map_err(io_error)?,
            reader: SqliteWorker::reader(reader).map_err(io_error)?,
            uses: SessionUses::default(),
            clock,
            path: path.to_owned(),
        })
    }

    /// Returns the path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the clock, for jobs that need the time at which they run.
    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    pub(super) fn uses(&self) -> &SessionUses {
        &self.uses
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
        time.limit(STORE, self.reader.run(job)).await
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        time: &TimeBudget,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        time.limit(STORE, self.writer.run(job)).await
    }

    /// Queues a write that happens even if nobody waits for its outcome.
    pub(super) fn queue_write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
        reply: impl Reply<T> + 'static,
    ) -> Result<(), StoreError> {
        self.writer.queue(job, reply)
    }
}

/// Returns the text of a column.
pub(super) fn text<'row>(row: &'row Row<'_>, column: usize) -> Result<&'row str, StoreError> {
    let value = row.get_ref(column)?;
    value.as_str().map_err(|error| StoreError::corrupt(STORE, &error))
}

/// Returns the time of a column, which has milliseconds since 1970.
pub(super) fn stored_time(milliseconds: i64) -> Result<OffsetDateTime, StoreError> {
    from_unix_ms(milliseconds).ok_or_else(|| StoreError::corrupt(STORE, "time out of range"))
}

/// Runs a statement, and returns the number of rows that it changed.
pub(super) fn execute(transaction: &Transaction<'_>, query: &str, params: impl Params) -> Result<u64, StoreError> {
    let changed = transaction.prepare_cached(query).and_then(|mut statement| statement.execute(params))?;
    Ok(u64::try_from(changed).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use futures_util::FutureExt as _;

    use super::{
        super::{data_dir::DataDirectory, worker::MAX_JOBS},
        *,
    };
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
