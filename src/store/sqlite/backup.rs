//! Copies of the file, which restore it when they are put into its place.
//!
//! A copy is marked as one. Beside the file whose place it takes may lie the log of a process that was killed, and SQLite
//! would replay that log onto the copy: so the mark is looked for before SQLite opens the file, and where it is there, what
//! lies beside the file is removed. The mark goes last, without SQLite, in one write of four bytes: a crash leaves it on or
//! off, and nothing else has been written until it is off.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::error::DataDirError;
use crate::os::private_files;

/// The application id in the header of a copy: the text `PstB`.
const BACKUP_MAGIC: i32 = 0x5073_7442;

/// Where the application id stands in the header (SQLite, "Database File Format", section 1.3).
const BACKUP_MAGIC_OFFSET: u64 = 68;

/// Writes a copy of the store as it is at one moment. It is there as a whole, on disk and for its owner alone, or not at
/// all; a file that is there already is never replaced.
///
/// # Errors
/// Where the copy cannot be written.
pub fn write(store: &Connection, target: &Path) -> Result<(), DataDirError> {
    let io_error = |source| DataDirError::Io { path: target.to_owned(), source };
    // A relative path might be taken for a URI.
    let absolute = std::path::absolute(target).map_err(io_error)?;
    // Not only in the end: there is no need to write a large copy for nothing.
    if fs::symlink_metadata(&absolute).is_ok() {
        return Err(DataDirError::Exists(target.to_owned()));
    }
    // A name that no other copy has, which is written at the same time or was interrupted.
    let unfinished = beside(&absolute, &format!(".{}.unfinished", uuid::Uuid::new_v4().simple()));
    let written = write_unfinished(store, &unfinished).and_then(|()| {
        let published = publish(&unfinished, &absolute).and_then(|()| private_files::sync_parent(&absolute));
        published.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => DataDirError::Exists(target.to_owned()),
            _ => io_error(source),
        })
    });
    let _ = fs::remove_file(&unfinished);
    written
}

/// Gives a file its name, unless something else has that.
fn publish(unfinished: &Path, target: &Path) -> io::Result<()> {
    match fs::hard_link(unfinished, target) {
        // Some file systems have no links.
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
    // VACUUM INTO takes an empty file as it is, and with it a mode that others cannot read by.
    private_files::create_private(path).map_err(io_error)?;
    store.execute("VACUUM INTO ?1", [name]).map_err(database_error)?;
    let copy = Connection::open(path).map_err(database_error)?;
    copy.pragma_update(None, "application_id", BACKUP_MAGIC).map_err(database_error)?;
    copy.close().map_err(|(_, source)| database_error(source))?;
    private_files::sync(path).map_err(io_error)
}

/// Whether a file is a copy that has not been put into service yet.
///
/// # Errors
/// Where it cannot be read.
pub fn is_backup(path: &Path) -> Result<bool, DataDirError> {
    let mut mark = Vec::new();
    let read = fs::File::open(path).and_then(|mut file| {
        io::Seek::seek(&mut file, io::SeekFrom::Start(BACKUP_MAGIC_OFFSET))?;
        file.take(4).read_to_end(&mut mark)
    });
    read.map_err(|source| DataDirError::Io { path: path.to_owned(), source })?;
    Ok(mark == BACKUP_MAGIC.to_be_bytes())
}

/// Makes a copy that was put into the place of the store into the store. Nobody else may have it open.
///
/// # Errors
/// Where the file cannot be read or written.
pub fn restore(path: &Path) -> Result<(), DataDirError> {
    if !is_backup(path)? {
        return Ok(());
    }
    let io_error = |source| DataDirError::Io { path: path.to_owned(), source };
    private_files::make_private(path).map_err(io_error)?;
    for suffix in ["-wal", "-shm", "-journal"] {
        remove_if_there(&beside(path, suffix))?;
    }
    private_files::sync_parent(path).map_err(io_error)?;
    let unmark = || {
        let file = fs::OpenOptions::new().write(true).open(path)?;
        file.write_all_at(&[0; 4], BACKUP_MAGIC_OFFSET)?;
        file.sync_all()
    };
    unmark().map_err(io_error)
}

/// Removes a file, if it is there.
///
/// # Errors
/// Where it cannot be removed.
pub fn remove_if_there(path: &Path) -> Result<(), DataDirError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(DataDirError::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::schema::connect;
    use super::*;

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
        restore(&restored).expect("it can be opened");

        assert_eq!(notes(&connect(&restored).expect("a store")), ["kept"]);
        assert!(!is_backup(&restored).expect("a file"), "the mark is gone");
    }

    #[test]
    fn what_is_written_after_a_restore_outlives_a_kill() {
        let (directory, path, store) = store();
        let copy = directory.path().join("copy.db");
        write(&store, &copy).expect("a copy");
        drop(store);
        fs::copy(&copy, &path).expect("copied back");
        restore(&path).expect("it can be opened");
        let restored = connect(&path).expect("a store");
        restored.execute("INSERT INTO notes VALUES ('after')", []).expect("valid SQL");

        // Opened again while the log has not been merged into the file.
        restore(&path).expect("it can be opened");

        assert_eq!(notes(&connect(&path).expect("a store")), ["kept", "after"]);
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("metadata").permissions().mode() & 0o777
    }

    #[test]
    fn a_copy_is_for_its_owner_alone_and_replaces_nothing() {
        let (directory, path, store) = store();
        let copy = directory.path().join("copy.db");

        write(&store, &copy).expect("a copy");
        assert_eq!(mode(&copy), 0o600);

        for taken in [&copy, &path] {
            let before = fs::read(taken).expect("a file");
            assert!(matches!(write(&store, taken), Err(DataDirError::Exists(_))));
            assert_eq!(fs::read(taken).expect("a file"), before);
        }
    }

    #[test]
    fn a_copy_that_is_interrupted_has_not_got_its_name_yet() {
        let (directory, path, store) = store();
        let (copy, unfinished) = (directory.path().join("copy.db"), directory.path().join("copy.db.1.unfinished"));

        write_unfinished(&store, &unfinished).expect("a copy");
        assert!(!copy.exists());

        write(&store, &copy).expect("another copy");
        assert_eq!(mode(&copy), 0o600);
        assert!(is_backup(&copy).expect("a file"));
        let names = fs::read_dir(directory.path()).expect("a directory").filter_map(Result::ok);
        let left: Vec<_> =
            names.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with("unfinished")).collect();
        assert_eq!(left, [unfinished]);
        assert_eq!(notes(&connect(&path).expect("a store")), ["kept"]);
    }

    #[test]
    fn a_copy_that_cannot_be_finished_leaves_nothing_behind() {
        let (directory, _path, _) = store();
        let copy = directory.path().join("copy.db");
        let no_store = Connection::open_in_memory().expect("memory");
        no_store.execute_batch("BEGIN").expect("a transaction");

        // Within a transaction there is no copying.
        assert!(write(&no_store, &copy).is_err());

        let names = fs::read_dir(directory.path()).expect("a directory").filter_map(Result::ok);
        assert!(names.map(|entry| entry.file_name()).all(|name| !name.to_string_lossy().starts_with("copy")));
    }

    #[test]
    fn two_copies_with_one_name_are_one_and_an_error() {
        let (directory, _path, store) = store();
        let target = directory.path().join("copy.db");
        let (first, second) = (directory.path().join("first"), directory.path().join("second"));
        fs::write(&first, "first").expect("a file");
        fs::write(&second, "second").expect("a file");

        publish(&first, &target).expect("nothing has the name");
        let refused = publish(&second, &target).expect_err("something has it");

        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&target).expect("a file"), "first");
        drop(store);
    }

    #[test]
    fn a_name_that_looks_like_a_uri_is_a_name() {
        use std::os::unix::ffi::OsStrExt as _;
        let (directory, _path, store) = store();

        let copy = directory.path().join("file:copy.db?mode=memory");
        write(&store, &copy).expect("a copy");
        assert_eq!(notes(&Connection::open(&copy).expect("a store")), ["kept"]);

        let no_text = directory.path().join(std::ffi::OsStr::from_bytes(b"bad\xff.db"));
        assert!(write(&store, &no_text).is_err());
        assert!(!no_text.exists());
    }

    #[test]
    fn a_restored_file_is_for_its_owner_alone_and_bears_no_mark() {
        let (directory, _path, store) = store();
        let copy = directory.path().join("copy.db");
        write(&store, &copy).expect("a copy");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).expect("ours");
        fs::write(beside(&copy, "-journal"), "stale").expect("a file");

        restore(&copy).expect("it can be opened");

        assert_eq!(mode(&copy), 0o600);
        assert!(!beside(&copy, "-journal").exists());
        let restored = connect(&copy).expect("a store");
        assert_eq!(notes(&restored), ["kept"]);
        let id: i32 = restored.pragma_query_value(None, "application_id", |row| row.get(0)).expect("an id");
        assert_eq!(id, 0);
    }
}
