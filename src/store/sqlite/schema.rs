//! Connections, and the schema that they find.

use std::{path::Path, time::Duration};

use refinery::Runner;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _};

use super::error::DataDirError;
use crate::{os::private_files, store::sqlite::backup};

mod migrations {
    refinery::embed_migrations!("sql/sqlite/migrations");
}

/// How long a statement waits for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What SQLite needs beside the file at least: the index of its log is made in pieces of this size.
const ROOM_BYTES: usize = 32 * 1024;

/// A connection to the file, which is made where it is not there.
pub fn connect(path: &Path) -> Result<Connection, DataDirError> {
    let open = || {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    };
    open().map_err(|source| not_connected(path, source))
}

/// SQLite says "disk I/O error" where the disk is full. Where the system refuses a file beside the store too, it says why.
fn not_connected(path: &Path, source: rusqlite::Error) -> DataDirError {
    let is_vague = matches!(source.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen));
    match is_vague.then(|| private_files::check_room(path, ROOM_BYTES)) {
        Some(Err(source)) => DataDirError::Io { path: path.to_owned(), source },
        _ => DataDirError::Database { path: path.to_owned(), source },
    }
}

/// Applies the migrations that are missing, after keeping a copy of the file as it was.
pub fn migrate_schema(connection: &mut Connection, path: &Path) -> Result<(), DataDirError> {
    migrate(connection, path, migrations::migrations::runner())
}

/// Whether no migration is missing, and none is there that this binary does not know.
pub fn is_up_to_date(connection: &Connection, path: &Path) -> Result<bool, DataDirError> {
    let found = schema_version(connection);
    let found = found.map_err(|source| DataDirError::Database { path: path.to_owned(), source })?;
    Ok(found == Some(latest(&migrations::migrations::runner())))
}

fn latest(runner: &Runner) -> i32 {
    runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or_default()
}

fn migrate(connection: &mut Connection, path: &Path, runner: Runner) -> Result<(), DataDirError> {
    let database_error = |source| DataDirError::Database { path: path.to_owned(), source };
    let known = latest(&runner);
    match schema_version(connection).map_err(database_error)? {
        Some(found) if found > known => return Err(DataDirError::TooNew { path: path.to_owned(), found, known }),
        Some(found) if found == known => return Ok(()),
        Some(found) => keep_copy(connection, path, found)?,
        None => {}
    }
    let migration_error = |source| DataDirError::Migration { path: path.to_owned(), source: Box::new(source) };
    // In one transaction: otherwise each migration is one and the note that it was applied another, and a crash between the
    // two would have the next start apply it again, and fail.
    runner.set_grouped(true).run(connection).map(drop).map_err(migration_error)
}

fn schema_version(connection: &Connection) -> rusqlite::Result<Option<i32>> {
    let is_there = "SELECT 1 FROM sqlite_master WHERE name = 'refinery_schema_history'";
    if connection.query_row(is_there, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    connection.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))
}

fn keep_copy(connection: &Connection, path: &Path, version: i32) -> Result<(), DataDirError> {
    let copy = path.with_extension(format!("v{version}.db"));
    // One from an earlier attempt is older than the file.
    backup::remove_if_there(&copy)?;
    backup::write(connection, &copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, sql: &str) -> refinery::Migration {
        refinery::Migration::unapplied(name, sql).expect("a migration")
    }

    #[test]
    fn an_older_file_is_migrated_after_a_copy_was_kept() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("postern.db");
        let mut connection = connect(&path).expect("an empty file");
        let first = step("V1__first", "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('kept')");
        let second = step("V2__second", "DROP TABLE notes");
        migrate(&mut connection, &path, Runner::new(std::slice::from_ref(&first))).expect("the first version");
        assert!(!path.with_extension("v1.db").exists());

        migrate(&mut connection, &path, Runner::new(&[first, second])).expect("the second version");

        assert_eq!(schema_version(&connection), Ok(Some(2)));
        let copy = Connection::open(path.with_extension("v1.db")).expect("a copy");
        let note: String = copy.query_row("SELECT text FROM notes", [], |row| row.get(0)).expect("a row");
        assert_eq!(note, "kept");
    }

    #[test]
    fn migrations_are_applied_together_or_not_at_all() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("postern.db");
        let mut connection = connect(&path).expect("an empty file");
        let (first, broken) = (step("V1__first", "CREATE TABLE notes (text TEXT)"), step("V2__broken", "CREATE"));

        migrate(&mut connection, &path, Runner::new(&[first.clone(), broken])).expect_err("no SQL");

        assert_eq!(schema_version(&connection), Ok(None));
        migrate(&mut connection, &path, Runner::new(&[first])).expect("the first version");
    }

    #[test]
    fn a_user_of_the_first_schema_is_a_member_in_the_present_one() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("postern.db");
        let mut connection = connect(&path).expect("an empty file");
        let first = include_str!("../../../sql/sqlite/migrations/V1__users_and_sessions.sql");
        let first = Runner::new(&[step("V1__users_and_sessions", first)]);
        migrate(&mut connection, &path, first).expect("the first version");
        let user = "INSERT INTO users (id, email, name, standing, epoch, created)
                    VALUES (zeroblob(16), 'ada@example.org', 'Ada', 'active', 1, 0)";
        connection.execute(user, []).expect("valid SQL");

        migrate_schema(&mut connection, &path).expect("the present version");

        let role: String = connection.query_row("SELECT role FROM users", [], |row| row.get(0)).expect("a user");
        assert_eq!(role, "member");
    }

    #[test]
    fn a_newer_file_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("postern.db");
        let mut newer = connect(&path).expect("an empty file");
        migrate_schema(&mut newer, &path).expect("the present version");
        newer.execute("UPDATE refinery_schema_history SET version = 99 WHERE version = 1", []).expect("valid SQL");

        assert!(matches!(migrate_schema(&mut newer, &path), Err(DataDirError::TooNew { found: 99, .. })));
        assert!(!is_up_to_date(&newer, &path).expect("a file"));
    }
}
