//! The data directory: who may use it, and as what.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{error::DataDirError, store::SqliteStore};
use crate::{
    clock::Clock,
    os::private_files,
    store::sqlite::{backup, schema},
};

/// The file that holds everything but the keys.
const FILE: &str = "postern.db";

/// The file that the one server of the directory has locked.
const LOCK_FILE: &str = "server.lock";

/// A data directory that is being opened: whoever else opens it waits until this is dropped, so that a command neither
/// keeps a server from starting nor finds it half-way.
#[derive(Debug)]
pub struct DataDirectory {
    directory: PathBuf,
    open_lock: fs::File,
}

impl DataDirectory {
    /// Waits for those who are opening the directory, which is made where it is not there.
    ///
    /// # Errors
    /// Where the directory cannot be used.
    pub fn open(directory: &Path) -> Result<Self, DataDirError> {
        private_files::create_private_directory(directory)
            .map_err(|source| DataDirError::Io { path: directory.to_owned(), source })?;
        Self::take_turn(directory)
    }

    /// The same for a directory in which something has been kept before: nothing is made.
    ///
    /// # Errors
    /// Where there is no store, or the directory cannot be used.
    pub fn existing(directory: &Path) -> Result<Self, DataDirError> {
        if !directory.join(FILE).exists() {
            return Err(DataDirError::Nothing(directory.to_owned()));
        }
        Self::take_turn(directory)
    }

    fn take_turn(directory: &Path) -> Result<Self, DataDirError> {
        let io_error = |source| DataDirError::Io { path: directory.to_owned(), source };
        let open_lock =
            fs::File::open(directory).and_then(|open_lock| open_lock.lock().map(|()| open_lock)).map_err(io_error)?;
        Ok(Self { directory: directory.to_owned(), open_lock })
    }

    /// Whether nothing has been kept in it yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        !self.directory.join(FILE).exists()
    }

    /// Makes this process the one server of the directory.
    ///
    /// # Errors
    /// Where another server has it.
    pub fn lock(&self) -> Result<ServerLock, DataDirError> {
        let path = self.directory.join(LOCK_FILE);
        let io_error = |source| DataDirError::Io { path: path.clone(), source };
        let file = private_files::open_private(&path).map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => Ok(ServerLock(file)),
            Err(fs::TryLockError::WouldBlock) => Err(DataDirError::Locked(self.directory.clone())),
            Err(fs::TryLockError::Error(source)) => Err(io_error(source)),
        }
    }

    /// The store, for whoever has the lock: one that was copied back is put into service, and the schema is brought up
    /// to date after keeping a copy of the file as it was (`postern.v1.db` for schema 1).
    ///
    /// # Errors
    /// Where the file cannot be opened, or is of a newer schema.
    pub fn store(&self, _lock: &ServerLock, clock: Arc<dyn Clock>) -> Result<SqliteStore, DataDirError> {
        let path = self.file()?;
        // SQLite makes files that others may read; those beside this one take over its mode.
        private_files::open_private(&path).map_err(|source| DataDirError::Io { path: path.clone(), source })?;
        backup::restore(&path)?;
        let mut writer = schema::connect(&path)?;
        schema::migrate_schema(&mut writer, &path)?;
        SqliteStore::start(writer, &path, clock)
    }

    /// The store beside the server that has the lock.
    ///
    /// # Errors
    /// Where the file cannot be opened, or server and file are not of this version.
    pub fn store_beside_server(&self, clock: Arc<dyn Clock>) -> Result<SqliteStore, DataDirError> {
        let path = self.file()?;
        if backup::is_backup(&path)? {
            return Err(DataDirError::CopiedOver(path));
        }
        let writer = schema::connect(&path)?;
        if !schema::is_up_to_date(&writer, &path)? {
            return Err(DataDirError::OtherVersion(self.directory.clone()));
        }
        SqliteStore::start(writer, &path, clock)
    }

    /// Copies the store into a new file, as it is at one moment, whether a server runs or not. Copying that file back to
    /// the place of the store restores it.
    ///
    /// # Errors
    /// Where the new file cannot be written, or is there already.
    pub fn back_up(self, target: &Path) -> Result<(), DataDirError> {
        let path = self.file()?;
        match self.lock() {
            Ok(_lock) => backup::restore(&path)?,
            Err(DataDirError::Locked(_)) if backup::is_backup(&path)? => return Err(DataDirError::CopiedOver(path)),
            Err(DataDirError::Locked(_)) => {}
            Err(error) => return Err(error),
        }
        let store = schema::connect(&path)?;
        // Copying may take long, and a server may have to start meanwhile.
        drop(self.open_lock);
        backup::write(&store, target)
    }

    /// By an absolute path: SQLite might take a relative one for a URI.
    fn file(&self) -> Result<PathBuf, DataDirError> {
        let file = self.directory.join(FILE);
        std::path::absolute(&file).map_err(|source| DataDirError::Io { path: file, source })
    }
}

/// The right to be the one server of a data directory, until it is dropped or the process ends.
#[derive(Debug)]
pub struct ServerLock(#[expect(dead_code, reason = "the lock lives as long as the open file")] fs::File);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn its_files_are_for_the_owner_alone() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let directory = DataDirectory::open(temporary.path()).expect("a directory");
        let lock = directory.lock().expect("nobody else runs here");
        let _store = directory.store(&lock, Arc::new(SystemClock)).expect("an empty directory can be opened");

        let files: Vec<_> = fs::read_dir(temporary.path()).expect("a directory").map(Result::unwrap).collect();
        assert_eq!(files.len(), 4, "the file, its log, the index of its log, and the lock");
        for file in files {
            let mode = file.metadata().expect("metadata").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", file.path());
        }
    }

    #[test]
    fn one_server_at_a_time_has_a_directory() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let directory = DataDirectory::open(temporary.path()).expect("a directory");
        let first = directory.lock().expect("nobody else runs here");

        assert!(matches!(directory.lock(), Err(DataDirError::Locked(_))));

        drop(first);
        assert!(directory.lock().is_ok());
    }

    #[test]
    fn a_copy_that_was_put_back_can_be_backed_up_before_anybody_serves_it() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let file = temporary.path().join(FILE);
        let (first, second) = (temporary.path().join("first.db"), temporary.path().join("second.db"));
        let store = schema::connect(&file).expect("a new file");
        store.execute_batch("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('kept')").expect("valid SQL");
        backup::write(&store, &first).expect("a copy");
        store.execute("INSERT INTO notes VALUES ('later')", []).expect("valid SQL");
        let log = fs::read(file.with_extension("db-wal")).expect("a log");
        drop(store);

        // As after a kill: the log with the later note lies beside what was copied back.
        fs::copy(&first, &file).expect("copied back");
        fs::write(file.with_extension("db-wal"), log).expect("a log");
        DataDirectory::existing(temporary.path()).expect("a store").back_up(&second).expect("a copy");

        let notes = schema::connect(&second).expect("a copy");
        let count: i32 = notes.query_row("SELECT count(*) FROM notes", [], |row| row.get(0)).expect("a row");
        assert_eq!(count, 1);
    }

    #[test]
    fn a_command_beside_a_server_of_another_version_is_refused() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let directory = DataDirectory::open(temporary.path()).expect("a directory");
        let _lock = directory.lock().expect("nobody else runs here");
        schema::connect(&directory.file().expect("a path")).expect("a file without a schema");

        let refusal = directory.store_beside_server(Arc::new(SystemClock));

        assert!(matches!(refusal, Err(DataDirError::OtherVersion(_))));
    }
}
