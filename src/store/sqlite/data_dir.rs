//! The data directory of the embedded store, and the locks that guard it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{error::DataDirError, store::SqliteStore};
use crate::{
    clock::Clock,
    os::{directory_lock::lock_directory, private_files},
    store::sqlite::{backup, schema},
};

/// The SQLite file, with all data except the keys.
const FILE: &str = "postern.db";

/// The file that the server of the directory keeps locked.
const LOCK_FILE: &str = "server.lock";

/// A data directory while it is being opened. It holds an exclusive lock until it is dropped, so that a command neither
/// prevents a server from starting nor sees a server that has started only in part.
#[derive(Debug)]
pub struct DataDirectory {
    directory: PathBuf,
    open_lock: fs::File,
}

impl DataDirectory {
    /// Waits for the lock on the directory, at most for a minute. Creates the directory if it does not exist.
    ///
    /// # Errors
    /// Returns [`DataDirError::Io`] if the directory cannot be created or locked.
    pub fn open(directory: &Path) -> Result<Self, DataDirError> {
        private_files::create_private_directory(directory)
            .map_err(|source| DataDirError::Io { path: directory.to_owned(), source })?;
        Self::wait_for_lock(directory)
    }

    /// Waits for the lock on a directory that contains a store, at most for a minute.
    ///
    /// # Errors
    /// Returns [`DataDirError::NoStore`] if there is no store, or [`DataDirError::Io`] if the directory cannot be
    /// locked.
    pub fn existing(directory: &Path) -> Result<Self, DataDirError> {
        if !directory.join(FILE).exists() {
            return Err(DataDirError::NoStore(directory.to_owned()));
        }
        Self::wait_for_lock(directory)
    }

    fn wait_for_lock(directory: &Path) -> Result<Self, DataDirError> {
        let open_lock = lock_directory(directory);
        let open_lock = open_lock.map_err(|source| DataDirError::Io { path: directory.to_owned(), source })?;
        Ok(Self { directory: directory.to_owned(), open_lock })
    }

    /// Returns whether the directory contains no store yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        !self.directory.join(FILE).exists()
    }

    /// Takes the server lock, which makes this process the only server of the directory.
    ///
    /// # Errors
    /// Returns [`DataDirError::Locked`] if another server has the lock, or [`DataDirError::Io`] if the lock file cannot
    /// be opened.
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

    /// Opens the store as the server of the directory. Restores a backup that was copied over the file, and migrates
    /// the schema after a backup of the file (`postern.v1.db` for schema version 1).
    ///
    /// # Errors
    /// Returns [`DataDirError::TooNew`] if the schema is newer, or another [`DataDirError`] if the file cannot be
    /// opened, backed up or migrated.
    pub fn store(&self, _lock: &ServerLock, clock: Arc<dyn Clock>) -> Result<SqliteStore, DataDirError> {
        let path = self.file()?;
        // SQLite would create a file that others may read. The files beside it get the mode of this one.
        private_files::open_private(&path).map_err(|source| DataDirError::Io { path: path.clone(), source })?;
        backup::restore(&path)?;
        let mut writer = schema::connect(&path)?;
        schema::migrate_schema(&mut writer, &path)?;
        SqliteStore::start(writer, &path, clock)
    }

    /// Opens the store while a server has the lock.
    ///
    /// # Errors
    /// Returns [`DataDirError::OtherVersion`] if the schema is not at the version of this binary,
    /// [`DataDirError::CopiedOver`] if a backup was copied over the file, or another [`DataDirError`] if the file
    /// cannot be opened.
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

    /// Writes a backup of the store to a new file, whether a server is running or not.
    ///
    /// # Errors
    /// Returns [`DataDirError::Exists`] if the target exists, or another [`DataDirError`] if the store cannot be read
    /// or the backup cannot be written.
    pub fn back_up(self, target: &Path) -> Result<(), DataDirError> {
        let path = self.file()?;
        match self.lock() {
            Ok(_lock) => backup::restore(&path)?,
            Err(DataDirError::Locked(_)) if backup::is_backup(&path)? => return Err(DataDirError::CopiedOver(path)),
            Err(DataDirError::Locked(_)) => {}
            Err(error) => return Err(error),
        }
        let store = schema::connect(&path)?;
        // A backup may take long, and a server must be able to start meanwhile.
        drop(self.open_lock);
        backup::write(&store, target)
    }

    /// Returns the absolute path of the SQLite file: SQLite may read a relative one as a URI.
    fn file(&self) -> Result<PathBuf, DataDirError> {
        let file = self.directory.join(FILE);
        std::path::absolute(&file).map_err(|source| DataDirError::Io { path: file, source })
    }
}

/// The lock of the only server of a data directory, until it is dropped or the process ends.
#[derive(Debug)]
pub struct ServerLock(#[expect(dead_code, reason = "the lock is held as long as the file is open")] fs::File);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn files_are_readable_only_by_their_owner() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let directory = DataDirectory::open(temporary.path()).expect("a directory");
        let lock = directory.lock().expect("no other server");
        let _store = directory.store(&lock, Arc::new(SystemClock)).expect("an empty directory can be opened");

        let files: Vec<_> = fs::read_dir(temporary.path()).expect("a directory").map(Result::unwrap).collect();
        assert_eq!(files.len(), 4, "the SQLite file, its WAL, the index of the WAL, and the lock file");
        for file in files {
            let mode = file.metadata().expect("metadata").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", file.path());
        }
    }

    #[test]
    fn directory_has_one_server_at_a_time() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let directory = DataDirectory::open(temporary.path()).expect("a directory");
        let first = directory.lock().expect("no other server");

        assert!(matches!(directory.lock(), Err(DataDirError::Locked(_))));

        drop(first);
        assert!(directory.lock().is_ok());
    }

    #[test]
    fn copied_backup_can_be_backed_up_before_a_server_starts() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let file = temporary.path().join(FILE);
        let (first, second) = (temporary.path().join("first.db"), temporary.path().join("second.db"));
        let store = schema::connect(&file).expect("a new file");
        store.execute_batch("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('kept')").expect("valid SQL");
        backup::write(&store, &first).expect("a backup");
        store.execute("INSERT INTO notes VALUES ('later')", []).expect("valid SQL");
        let wal = fs::read(file.with_extension("db-wal")).expect("a WAL");
        drop(store);

        // As after a kill: the WAL with the later note is beside the backup that was copied over the file.
        fs::copy(&first, &file).expect("a copy");
        fs::write(file.with_extension("db-wal"), wal).expect("a WAL");
        DataDirectory::existing(temporary.path()).expect("a store").back_up(&second).expect("a backup");

        let notes = schema::connect(&second).expect("a backup");
        let count: i32 = notes.query_row("SELECT count(*) FROM notes", [], |row| row.get(0)).expect("a row");
        assert_eq!(count, 1);
    }

    #[test]
    fn command_beside_a_server_of_another_version_is_rejected() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let directory = DataDirectory::open(temporary.path()).expect("a directory");
        let _lock = directory.lock().expect("no other server");
        schema::connect(&directory.file().expect("a path")).expect("a file without a schema");

        let outcome = directory.store_beside_server(Arc::new(SystemClock));

        assert!(matches!(outcome, Err(DataDirError::OtherVersion(_))));
    }
}
