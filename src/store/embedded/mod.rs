//! The embedded store: users and sessions in one SQLite file, for trying Postern and for small sites.
//!
//! The file is in WAL mode and each commit waits for the disk (`synchronous=FULL`): what was answered is kept. One thread
//! writes and another reads, each with a connection of its own, so that reads do not queue behind the disk. A job is one
//! transaction on its thread: a caller who goes away leaves all of it or nothing.

mod sessions;
mod users;

use std::{
    fs, io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use refinery::Runner;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, TransactionBehavior};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::{StoreError, StoreTime};
use crate::{
    clock::{Clock, whole_milliseconds},
    files,
};

mod migrations {
    refinery::embed_migrations!("sql/embedded/migrations");
}

/// The name that errors and logs call this store by.
const STORE: &str = "embedded store";

/// The file, in the data directory, that holds everything but the keys.
pub const FILE: &str = "postern.db";

/// The file, in the data directory, that the one server of the directory has locked.
const LOCK_FILE: &str = "server.lock";

/// How long a statement waits for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server has it.
    #[error("another server is running on {}", .0.display())]
    Locked(PathBuf),
    /// A newer version of Postern has written it.
    #[error("{} was written by a newer version: its schema is {found}, this binary knows {known}", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The file's schema.
        found: i32,
        /// The latest schema of this binary.
        known: i32,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("{}: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The schema could not be brought up to date.
    #[error("{}: {source}", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// What the migration said.
        source: Box<refinery::Error>,
    },
}

/// The right to be the one server of a data directory, until it is dropped or the process ends.
#[derive(Debug)]
pub struct ServerLock(#[expect(dead_code, reason = "the lock lives as long as the open file")] fs::File);

impl ServerLock {
    /// Takes the lock of a directory, which is made where it is not there.
    ///
    /// # Errors
    /// Where another server has it, or the directory cannot be written.
    pub fn take(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(LOCK_FILE);
        let io_error = |source| OpenError::Io { path: path.clone(), source };
        files::create_private_directory(directory).map_err(io_error)?;
        let file = files::open_private(&path).map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(fs::TryLockError::WouldBlock) => Err(OpenError::Locked(directory.to_owned())),
            Err(fs::TryLockError::Error(source)) => Err(io_error(source)),
        }
    }
}

/// The embedded store. Its threads end with it.
pub struct EmbeddedStore {
    writer: Worker,
    reader: Worker,
    clock: Arc<dyn Clock>,
}

impl EmbeddedStore {
    /// Opens the store in a directory and brings its schema up to date, after keeping a copy of the file as it was
    /// (`postern.v1.db` for schema 1).
    ///
    /// # Errors
    /// Where the file cannot be opened, or is of a newer schema.
    pub fn open(directory: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let path = directory.join(FILE);
        // SQLite makes files that others may read; those beside this one take over its mode.
        files::open_private(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let mut connection = connect(&path)?;
        migrate(&mut connection, &path, &migrations::migrations::runner())?;
        let reader = connect(&path)?;
        let start = |name, connection| {
            Worker::start(name, connection).map_err(|source| OpenError::Io { path: path.clone(), source })
        };
        Ok(Self { writer: start("store-writer", connection)?, reader: start("store-reader", reader)?, clock })
    }

    /// The time, as exactly as it is kept.
    fn now(&self) -> OffsetDateTime {
        whole_milliseconds(self.clock.now())
    }

    async fn read<T: Send + 'static>(
        &self,
        time: &StoreTime,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        time.limit(STORE, self.reader.run(TransactionBehavior::Deferred, job)).await
    }

    async fn write<T: Send + 'static>(
        &self,
        time: &StoreTime,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        time.limit(STORE, self.writer.run(TransactionBehavior::Immediate, job)).await
    }
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A thread that owns a connection and does one job after the other.
struct Worker(mpsc::Sender<Job>);

impl Worker {
    fn start(name: &str, mut connection: Connection) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            for job in queue {
                // A panic drops the job's transaction, which rolls it back, and its reply; the thread goes on.
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
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            if reply.is_closed() {
                return;
            }
            let _ = reply.send(transact(connection, behavior, job));
        });
        self.0.send(job).map_err(|_| StoreError::unavailable(STORE, "its thread has ended"))?;
        answer.await.map_err(|_| StoreError::unavailable(STORE, "a job panicked"))?
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

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            // Without a code it was not SQLite, but a value of a kind that was not expected.
            None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::corrupt(STORE, &error),
            Some(_) => Self::unavailable(STORE, &error),
        }
    }
}

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let open = || {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    };
    open().map_err(|source| OpenError::Database { path: path.to_owned(), source })
}

fn migrate(connection: &mut Connection, path: &Path, runner: &Runner) -> Result<(), OpenError> {
    let database_error = |source| OpenError::Database { path: path.to_owned(), source };
    let known = runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or_default();
    match schema_version(connection).map_err(database_error)? {
        Some(found) if found > known => return Err(OpenError::TooNew { path: path.to_owned(), found, known }),
        Some(found) if found == known => return Ok(()),
        Some(found) => keep_copy(connection, path, found)?,
        None => {}
    }
    let migration_error = |source| OpenError::Migration { path: path.to_owned(), source: Box::new(source) };
    runner.run(connection).map(drop).map_err(migration_error)
}

fn schema_version(connection: &Connection) -> rusqlite::Result<Option<i32>> {
    let is_there = "SELECT 1 FROM sqlite_master WHERE name = 'refinery_schema_history'";
    if connection.query_row(is_there, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    connection.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))
}

fn keep_copy(connection: &Connection, path: &Path, version: i32) -> Result<(), OpenError> {
    let copy = path.with_extension(format!("v{version}.db"));
    let io_error = |source| OpenError::Io { path: copy.clone(), source };
    // VACUUM INTO takes an empty file as it is, and with it a mode that others cannot read by.
    files::open_private(&copy).and_then(|file| file.set_len(0)).map_err(io_error)?;
    connection
        .execute("VACUUM INTO ?1", [copy.to_string_lossy()])
        .map(drop)
        .map_err(|source| OpenError::Database { path: copy.clone(), source })?;
    files::sync(&copy).and_then(|()| files::sync_parent(&copy)).map_err(io_error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::clock::SystemClock;

    fn open(directory: &Path) -> Result<EmbeddedStore, OpenError> {
        EmbeddedStore::open(directory, Arc::new(SystemClock))
    }

    async fn pragma(store: &EmbeddedStore, name: &'static str) -> rusqlite::types::Value {
        let time = StoreTime::of(Duration::from_mins(1));
        let read = move |transaction: &Transaction<'_>| {
            transaction.pragma_query_value(None, name, |row| row.get(0)).map_err(StoreError::from)
        };
        let value = store.write(&time, read).await.expect("a value");
        assert_eq!(value, store.read(&time, read).await.expect("a value"));
        value
    }

    #[tokio::test]
    async fn every_commit_waits_for_the_disk() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = open(directory.path()).expect("an empty directory can be opened");

        assert_eq!(pragma(&store, "journal_mode").await, "wal".to_owned().into());
        // 2 is FULL (SQLite, "PRAGMA synchronous").
        assert_eq!(pragma(&store, "synchronous").await, 2.into());
    }

    #[tokio::test]
    async fn its_files_are_for_the_owner_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let _lock = ServerLock::take(directory.path()).expect("nobody else runs here");
        let _store = open(directory.path()).expect("an empty directory can be opened");

        let files: Vec<_> = fs::read_dir(directory.path()).expect("a directory").map(Result::unwrap).collect();
        assert_eq!(files.len(), 4, "the file, its log, the index of its log, and the lock");
        for file in files {
            let mode = file.metadata().expect("metadata").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", file.path());
        }
    }

    #[test]
    fn one_server_at_a_time_has_a_directory() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let first = ServerLock::take(directory.path()).expect("nobody else runs here");

        assert!(matches!(ServerLock::take(directory.path()), Err(OpenError::Locked(_))));

        drop(first);
        assert!(ServerLock::take(directory.path()).is_ok());
    }

    #[test]
    fn an_older_file_is_migrated_after_a_copy_was_kept() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join(FILE);
        let mut connection = connect(&path).expect("an empty file");
        let step = |name, sql| refinery::Migration::unapplied(name, sql).expect("a migration");
        let first = step("V1__first", "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('kept')");
        let second = step("V2__second", "DROP TABLE notes");
        migrate(&mut connection, &path, &Runner::new(std::slice::from_ref(&first))).expect("the first version");
        assert!(!path.with_extension("v1.db").exists());

        migrate(&mut connection, &path, &Runner::new(&[first, second])).expect("the second version");

        assert_eq!(schema_version(&connection), Ok(Some(2)));
        let copy = Connection::open(path.with_extension("v1.db")).expect("a copy");
        let note: String = copy.query_row("SELECT text FROM notes", [], |row| row.get(0)).expect("a row");
        assert_eq!(note, "kept");
        let mode = fs::metadata(path.with_extension("v1.db")).expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }

    #[test]
    fn a_newer_file_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        drop(open(directory.path()).expect("an empty directory can be opened"));
        let newer = connect(&directory.path().join(FILE)).expect("a file");
        newer.execute("UPDATE refinery_schema_history SET version = 99", []).expect("a valid statement");

        assert!(matches!(open(directory.path()), Err(OpenError::TooNew { found: 99, .. })));
    }

    #[tokio::test]
    async fn a_panic_ends_its_job_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = open(directory.path()).expect("an empty directory can be opened");
        let time = StoreTime::of(Duration::from_mins(1));

        let outcome: Result<(), _> = store.write(&time, |_| panic!("a panic on purpose")).await;

        assert!(matches!(outcome, Err(StoreError::Unavailable { .. })));
        assert_eq!(crate::store::Users::ping(&store, &time).await, Ok(()));
        assert_eq!(store.write(&time, |_| Ok(7)).await, Ok(7));
    }
}
