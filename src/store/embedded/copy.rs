//! Copies of the file, which restore it when they are put into its place.
//!
//! A copy is marked as one. Beside the file whose place it takes may lie the log of a process that was killed, and SQLite
//! would replay that log onto the copy: so the mark is looked for before SQLite opens the file, and where it is there, what
//! lies beside the file is removed. The mark is taken off before anything else is written.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::directory::OpenError;
use crate::files;

/// The application id in the header of a copy: the text `PstB`.
const MARK: i32 = 0x5073_7442;

/// Where the application id stands in the header (SQLite, "Database File Format", section 1.3).
const MARK_OFFSET: usize = 68;

/// Writes a copy of the store as it is at one moment. It is there as a whole, on disk and for its owner alone, or not at
/// all; a file that is there already is never replaced.
///
/// # Errors
/// Where the copy cannot be written.
pub fn write(store: &Connection, target: &Path) -> Result<(), OpenError> {
    let io_error = |source| OpenError::Io { path: target.to_owned(), source };
    if fs::symlink_metadata(target).is_ok() {
        return Err(io_error(io::ErrorKind::AlreadyExists.into()));
    }
    let unfinished = beside(target, ".unfinished");
    let io_error = |source| OpenError::Io { path: unfinished.clone(), source };
    let database_error = |source| OpenError::Database { path: unfinished.clone(), source };
    // VACUUM INTO takes an empty file as it is, and with it a mode that others cannot read by.
    files::open_private(&unfinished).and_then(|file| file.set_len(0)).map_err(io_error)?;
    store.execute("VACUUM INTO ?1", [unfinished.to_string_lossy()]).map_err(database_error)?;
    let copy = Connection::open(&unfinished).map_err(database_error)?;
    copy.pragma_update(None, "application_id", MARK).map_err(database_error)?;
    copy.close().map_err(|(_, source)| database_error(source))?;
    files::sync(&unfinished).map_err(io_error)?;
    // A link, unlike a rename, replaces nothing.
    let io_error = |source| OpenError::Io { path: target.to_owned(), source };
    fs::hard_link(&unfinished, target).and_then(|()| fs::remove_file(&unfinished)).map_err(io_error)?;
    files::sync_parent(target).map_err(io_error)
}

/// Whether a file is a copy that has not been put into service yet.
///
/// # Errors
/// Where it cannot be read.
pub fn is_copy(path: &Path) -> Result<bool, OpenError> {
    let mut header = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(100).read_to_end(&mut header));
    read.map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    Ok(header.get(MARK_OFFSET..MARK_OFFSET + 4) == Some(MARK.to_be_bytes().as_slice()))
}

/// Makes a copy that was put into the place of the store into the store. Nobody else may have it open.
///
/// # Errors
/// Where the file cannot be read or written.
pub fn put_into_service(path: &Path) -> Result<(), OpenError> {
    if !is_copy(path)? {
        return Ok(());
    }
    for suffix in ["-wal", "-shm", "-journal"] {
        let stale = beside(path, suffix);
        match fs::remove_file(&stale) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => outcome.map_err(|source| OpenError::Io { path: stale, source })?,
        }
    }
    let unmark = || {
        let copy = Connection::open(path)?;
        // In a log, the mark would not be off the file: the next start would then throw away the log and all in it.
        copy.pragma_update(None, "journal_mode", "DELETE")?;
        copy.pragma_update(None, "synchronous", "FULL")?;
        copy.pragma_update(None, "application_id", 0)
    };
    unmark().map_err(|source| OpenError::Database { path: path.to_owned(), source })?;
    files::make_private(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::store::embedded::schema::connect;

    /// A store with one note, in a directory of its own.
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
    fn a_copy_put_into_the_place_of_the_store_restores_it_whatever_lies_beside() {
        let (directory, path, store) = store();
        let copy = directory.path().join("copy.db");
        write(&store, &copy).expect("a copy");
        store.execute("INSERT INTO notes VALUES ('later')", []).expect("valid SQL");

        // What a killed process leaves behind: the log of the later note, and here beside the copy.
        let killed = tempfile::tempdir().expect("a temporary directory");
        let restored = killed.path().join("postern.db");
        fs::copy(&copy, &restored).expect("copied back");
        fs::copy(beside(&path, "-wal"), beside(&restored, "-wal")).expect("a log");
        put_into_service(&restored).expect("it can be opened");

        assert_eq!(notes(&connect(&restored).expect("a store")), ["kept"]);
        assert!(!is_copy(&restored).expect("a file"), "the mark is gone");
    }

    #[test]
    fn what_is_written_after_a_restore_outlives_a_kill() {
        let (directory, path, store) = store();
        let copy = directory.path().join("copy.db");
        write(&store, &copy).expect("a copy");
        drop(store);
        fs::copy(&copy, &path).expect("copied back");
        put_into_service(&path).expect("it can be opened");
        let restored = connect(&path).expect("a store");
        restored.execute("INSERT INTO notes VALUES ('after')", []).expect("valid SQL");

        // Opened again while the log has not been merged into the file.
        put_into_service(&path).expect("it can be opened");

        assert_eq!(notes(&connect(&path).expect("a store")), ["kept", "after"]);
    }

    #[test]
    fn a_copy_is_for_its_owner_alone_and_replaces_nothing() {
        let (directory, path, store) = store();
        let copy = directory.path().join("copy.db");

        write(&store, &copy).expect("a copy");
        let mode = fs::metadata(&copy).expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);

        for taken in [&copy, &path] {
            let before = fs::read(taken).expect("a file");
            assert!(matches!(write(&store, taken), Err(OpenError::Io { .. })));
            assert_eq!(fs::read(taken).expect("a file"), before);
        }
    }

    #[test]
    fn a_copy_that_was_not_finished_is_in_nobodys_way() {
        let (directory, _path, store) = store();
        let copy = directory.path().join("copy.db");
        fs::write(beside(&copy, ".unfinished"), "left behind").expect("a file");

        write(&store, &copy).expect("a copy");

        assert!(is_copy(&copy).expect("a file"));
        assert!(!beside(&copy, ".unfinished").exists());
    }
}
