//! Backups of the SQLite file. Copying a backup over the file restores it.
//!
//! A backup has a magic number in its header. When it is copied over the file, the WAL of a killed process may still be
//! there, and SQLite would replay that WAL onto the backup. So the magic number is checked before SQLite opens the
//! file; if it is there, the WAL and its companions are removed. The magic number is cleared last, without SQLite, in
//! one write of four bytes: a crash leaves it set or cleared, and nothing else is written before it is cleared.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::error::DataDirError;
use crate::os::private_files;

/// The magic number of a backup, as the application id in the header: `PstB` in ASCII.
const BACKUP_MAGIC: i32 = 0x5073_7442;

/// The offset of the application id in the header (SQLite, "Database File Format", section 1.3).
const BACKUP_MAGIC_OFFSET: u64 = 68;

/// Writes a backup of a consistent snapshot of the store. The target is complete, on disk and readable only by its
/// owner, or it does not exist.
///
/// # Errors
/// Returns [`DataDirError::Exists`] if the target exists, which is never replaced, or another [`DataDirError`] if the
/// backup cannot be written.
pub(super) fn write(store: &Connection, target: &Path) -> Result<(), DataDirError> {
    let io_error = |source| DataDirError::Io { path: target.to_owned(), source };
    // SQLite may read a relative path as a URI.
    let absolute = std::path::absolute(target).map_err(io_error)?;
    // Checked again by `publish`; this check avoids writing a large backup in vain.
    if fs::symlink_metadata(&absolute).is_ok() {
        return Err(DataDirError::Exists(target.to_owned()));
    }
    // A unique name: another backup may be running, or may have been interrupted.
    let unfinished = with_suffix(&absolute, &format!(".{}.unfinished", uuid::Uuid::new_v4().simple()));
    let written = write_unfinished(store, &unfinished).and_then(|()| {
        let outcome = publish(&unfinished, &absolute).and_then(|()| private_files::sync_parent(&absolute));
        outcome.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => DataDirError::Exists(target.to_owned()),
            _ => io_error(source),
        })
    });
    let _ = fs::remove_file(&unfinished);
    written
}

/// Moves a file to its final name, and fails if that exists.
fn publish(unfinished: &Path, target: &Path) -> io::Result<()> {
    match fs::hard_link(unfinished, target) {
        // Some file systems have no hard links.
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {
            private_files::create_private(target)?;
            fs::rename(unfinished, target)
        }
        outcome => outcome,
    }
}

fn write_unfinished(store: &Connection, path: &Path) -> Result<(), DataDirError> {
    let io_error = |source| DataDirError::Io { path: path.to_owned(), source };
    let database_error = |source| DataDirError::Database { path: path.to_owned(), source };
    let name = path.to_str().ok_or_else(|| io_error(io::Error::new(io::ErrorKind::InvalidInput, "not UTF-8")))?;
    // VACUUM INTO accepts an existing empty file, and keeps its mode, which lets only the owner read it.
    private_files::create_private(path).map_err(io_error)?;
    store.execute("VACUUM INTO ?1", [name]).map_err(database_error)?;
    let backup = Connection::open(path).map_err(database_error)?;
    backup.pragma_update(None, "application_id", BACKUP_MAGIC).map_err(database_error)?;
    backup.close().map_err(|(_, source)| database_error(source))?;
    private_files::sync(path).map_err(io_error)
}

/// Returns whether a file is a backup that has not been restored yet.
///
/// # Errors
/// Returns [`DataDirError::Io`] if the file cannot be read.
pub(super) fn is_backup(path: &Path) -> Result<bool, DataDirError> {
    let mut application_id = Vec::new();
    let read = fs::File::open(path).and_then(|mut file| {
        io::Seek::seek(&mut file, io::SeekFrom::Start(BACKUP_MAGIC_OFFSET))?;
        file.take(4).read_to_end(&mut application_id)
    });
    read.map_err(|source| DataDirError::Io { path: path.to_owned(), source })?;
    Ok(application_id == BACKUP_MAGIC.to_be_bytes())
}

/// Restores a backup that was copied over the store, if it is one. No other process may have the file open.
///
/// # Errors
/// Returns [`DataDirError::Io`] if the file cannot be read or written.
pub(super) fn restore(path: &Path) -> Result<(), DataDirError> {
    if !is_backup(path)? {
        return Ok(());
    }
    let io_error = |source| DataDirError::Io { path: path.to_owned(), source };
    private_files::make_private(path).map_err(io_error)?;
    for suffix in ["-wal", "-shm", "-journal"] {
        remove_if_exists(&with_suffix(path, suffix))?;
    }
    private_files::sync_parent(path).map_err(io_error)?;
    let clear_magic = || {
        let file = fs::OpenOptions::new().write(true).open(path)?;
        file.write_all_at(&[0; 4], BACKUP_MAGIC_OFFSET)?;
        file.sync_all()
    };
    clear_magic().map_err(io_error)
}

/// Removes a file, if it exists.
///
/// # Errors
/// Returns [`DataDirError::Io`] if it cannot be removed.
pub(super) fn remove_if_exists(path: &Path) -> Result<(), DataDirError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(DataDirError::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::schema::connect;
    use super::*;

    /// Creates a store with one note, in a temporary directory.
    fn store() -> (tempfile::TempDir, PathBuf, Connection) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("postern.db");
        let store = connect(&path).expect("an empty file");
        store.execute_batch("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('kept')").expect("valid SQL");
        (directory, path, store)
    }

    fn notes(connection: &Connection) -> Vec<String> {
        let mut statement = connection.prepare("SELECT text FROM notes ORDER BY rowid").expect("a table");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        rows.map(|row| row.expect("a text")).collect()
    }

    #[test]
    fn restore_ignores_a_leftover_wal() {
        let (directory, path, store) = store();
        let backup = directory.path().join("backup.db");
        write(&store, &backup).expect("a backup");
        store.execute("INSERT INTO notes VALUES ('later')", []).expect("valid SQL");

        // A killed process leaves its WAL behind, here with the later note and beside the backup.
        let killed = tempfile::tempdir().expect("a temporary directory");
        let restored = killed.path().join("postern.db");
        fs::copy(&backup, &restored).expect("a copy");
        fs::copy(with_suffix(&path, "-wal"), with_suffix(&restored, "-wal")).expect("a WAL");
        restore(&restored).expect("it can be restored");

        assert_eq!(notes(&connect(&restored).expect("a store")), ["kept"]);
        assert!(!is_backup(&restored).expect("a file"), "the magic number is cleared");
    }

    #[test]
    fn write_after_a_restore_survives_a_kill() {
        let (directory, path, store) = store();
        let backup = directory.path().join("backup.db");
        write(&store, &backup).expect("a backup");
        drop(store);
        fs::copy(&backup, &path).expect("a copy");
        restore(&path).expect("it can be restored");
        let restored = connect(&path).expect("a store");
        restored.execute("INSERT INTO notes VALUES ('after')", []).expect("valid SQL");

        // Restored again before the WAL is merged into the file.
        restore(&path).expect("it can be restored");

        assert_eq!(notes(&connect(&path).expect("a store")), ["kept", "after"]);
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("metadata").permissions().mode() & 0o777
    }

    #[test]
    fn backup_is_private_and_replaces_no_file() {
        let (directory, path, store) = store();
        let backup = directory.path().join("backup.db");

        write(&store, &backup).expect("a backup");
        assert_eq!(mode(&backup), 0o600);

        for existing in [&backup, &path] {
            let before = fs::read(existing).expect("a file");
            assert!(matches!(write(&store, existing), Err(DataDirError::Exists(_))));
            assert_eq!(fs::read(existing).expect("a file"), before);
        }
    }

    #[test]
    fn interrupted_backup_does_not_have_its_final_name() {
        let (directory, path, store) = store();
        let (backup, unfinished) =
            (directory.path().join("backup.db"), directory.path().join("backup.db.1.unfinished"));

        write_unfinished(&store, &unfinished).expect("a backup");
        assert!(!backup.exists());

        write(&store, &backup).expect("another backup");
        assert_eq!(mode(&backup), 0o600);
        assert!(is_backup(&backup).expect("a file"));
        let entries = fs::read_dir(directory.path()).expect("a directory").filter_map(Result::ok);
        let left: Vec<_> =
            entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with("unfinished")).collect();
        assert_eq!(left, [unfinished]);
        assert_eq!(notes(&connect(&path).expect("a store")), ["kept"]);
    }

    #[test]
    fn failed_backup_leaves_no_file() {
        let (directory, _path, _) = store();
        let backup = directory.path().join("backup.db");
        let busy_store = Connection::open_in_memory().expect("memory");
        busy_store.execute_batch("BEGIN").expect("a transaction");

        // VACUUM INTO fails within a transaction.
        assert!(write(&busy_store, &backup).is_err());

        let entries = fs::read_dir(directory.path()).expect("a directory").filter_map(Result::ok);
        assert!(entries.map(|entry| entry.file_name()).all(|name| !name.to_string_lossy().starts_with("backup")));
    }

    #[test]
    fn second_backup_with_the_same_name_fails() {
        let (directory, _path, store) = store();
        let target = directory.path().join("backup.db");
        let (first, second) = (directory.path().join("first"), directory.path().join("second"));
        fs::write(&first, "first").expect("a file");
        fs::write(&second, "second").expect("a file");

        publish(&first, &target).expect("the name is free");
        let error = publish(&second, &target).expect_err("the name is taken");

        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&target).expect("a file"), "first");
        drop(store);
    }

    #[test]
    fn name_that_looks_like_a_uri_is_a_file_name() {
        use std::os::unix::ffi::OsStrExt as _;
        let (directory, _path, store) = store();

        let backup = directory.path().join("file:backup.db?mode=memory");
        write(&store, &backup).expect("a backup");
        assert_eq!(notes(&Connection::open(&backup).expect("a store")), ["kept"]);

        let not_utf8 = directory.path().join(std::ffi::OsStr::from_bytes(b"bad\xff.db"));
        assert!(write(&store, &not_utf8).is_err());
        assert!(!not_utf8.exists());
    }

    #[test]
    fn restored_file_is_private_and_no_longer_a_backup() {
        let (directory, _path, store) = store();
        let backup = directory.path().join("backup.db");
        write(&store, &backup).expect("a backup");
        fs::set_permissions(&backup, fs::Permissions::from_mode(0o644)).expect("an own file");
        fs::write(with_suffix(&backup, "-journal"), "stale").expect("a file");

        restore(&backup).expect("it can be restored");

        assert_eq!(mode(&backup), 0o600);
        assert!(!with_suffix(&backup, "-journal").exists());
        let restored = connect(&backup).expect("a store");
        assert_eq!(notes(&restored), ["kept"]);
        let id: i32 = restored.pragma_query_value(None, "application_id", |row| row.get(0)).expect("an id");
        assert_eq!(id, 0);
    }
}
