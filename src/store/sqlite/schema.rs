//! Connections to the SQLite file, and its schema.

use std::{path::Path, time::Duration};

use refinery::Runner;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _};

use super::error::DataDirError;
use crate::{os::private_files, store::sqlite::backup};

mod migrations {
    refinery::embed_migrations!("sql/sqlite/migrations");
}

/// How long a statement waits while another process writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The minimum free space that SQLite needs beside the file: it allocates the index of the WAL in blocks of this size.
const MIN_FREE_BYTES: usize = 32 * 1024;

/// Opens a connection to the file, and creates the file if it does not exist.
pub(super) fn connect(path: &Path) -> Result<Connection, DataDirError> {
    let open = || {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    };
    open().map_err(|source| open_error(path, source))
}

/// Returns the cause of a failed open. SQLite reports "disk I/O error" if the disk is full, so a test file beside the
/// store gets the exact error of the operating system.
fn open_error(path: &Path, source: rusqlite::Error) -> DataDirError {
    let is_vague = matches!(source.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen));
    match is_vague.then(|| private_files::check_room(path, MIN_FREE_BYTES)) {
        Some(Err(source)) => DataDirError::Io { path: path.to_owned(), source },
        _ => DataDirError::Database { path: path.to_owned(), source },
    }
}

/// Applies the missing migrations, after a backup of the file.
pub(super) fn migrate_schema(connection: &mut Connection, path: &Path) -> Result<(), DataDirError> {
    migrate(connection, path, migrations::migrations::runner())
}

/// Returns whether the file is at the latest schema version that this binary knows.
pub(super) fn is_up_to_date(connection: &Connection, path: &Path) -> Result<bool, DataDirError> {
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
        Some(found) => write_backup(connection, path, found)?,
        None => {}
    }
    let migration_error = |source| DataDirError::Migration { path: path.to_owned(), source: Box::new(source) };
    // Grouped into one transaction. Otherwise a migration and the record of it are two transactions, and after a crash
    // between them the next start would apply the migration again and fail.
    runner.set_grouped(true).run(connection).map(drop).map_err(migration_error)
}

fn schema_version(connection: &Connection) -> rusqlite::Result<Option<i32>> {
    let exists = "SELECT 1 FROM sqlite_master WHERE name = 'refinery_schema_history'";
    if connection.query_row(exists, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    connection.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))
}

fn write_backup(connection: &Connection, path: &Path, version: i32) -> Result<(), DataDirError> {
    let target = path.with_extension(format!("v{version}.db"));
    // A backup from an earlier attempt is outdated.
    backup::remove_if_exists(&target)?;
    backup::write(connection, &target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, sql: &str) -> refinery::Migration {
        refinery::Migration::unapplied(name, sql).expect("a migration")
    }

    /// Returns a connection to a new file with the latest schema, and the directory of the file.
    fn latest_file() -> (tempfile::TempDir, Connection) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("postern.db");
        let mut connection = connect(&path).expect("an empty file");
        migrate_schema(&mut connection, &path).expect("the latest version");
        (directory, connection)
    }

    #[test]
    fn older_file_is_backed_up_and_migrated() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("postern.db");
        let mut connection = connect(&path).expect("an empty file");
        let first = step("V1__first", "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('kept')");
        let second = step("V2__second", "DROP TABLE notes");
        migrate(&mut connection, &path, Runner::new(std::slice::from_ref(&first))).expect("the first version");
        assert!(!path.with_extension("v1.db").exists());

        migrate(&mut connection, &path, Runner::new(&[first, second])).expect("the second version");

        assert_eq!(schema_version(&connection), Ok(Some(2)));
        let backup = Connection::open(path.with_extension("v1.db")).expect("a backup");
        let note: String = backup.query_row("SELECT text FROM notes", [], |row| row.get(0)).expect("a row");
        assert_eq!(note, "kept");
    }

    #[test]
    fn migrations_are_applied_together_or_not_at_all() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("postern.db");
        let mut connection = connect(&path).expect("an empty file");
        let (first, broken) = (step("V1__first", "CREATE TABLE notes (text TEXT)"), step("V2__broken", "CREATE"));

        migrate(&mut connection, &path, Runner::new(&[first.clone(), broken])).expect_err("invalid SQL");

        assert_eq!(schema_version(&connection), Ok(None));
        migrate(&mut connection, &path, Runner::new(&[first])).expect("the first version");
    }

    #[test]
    fn user_of_the_first_schema_becomes_a_member() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("postern.db");
        let mut connection = connect(&path).expect("an empty file");
        let first = include_str!("../../../sql/sqlite/migrations/V1__users_and_sessions.sql");
        let first = Runner::new(&[step("V1__users_and_sessions", first)]);
        migrate(&mut connection, &path, first).expect("the first version");
        let user = "INSERT INTO users (id, email, name, standing, epoch, created)
                    VALUES (zeroblob(16), 'ada@example.org', 'Ada', 'active', 1, 0)";
        connection.execute(user, []).expect("valid SQL");

        migrate_schema(&mut connection, &path).expect("the latest version");

        let role: String = connection.query_row("SELECT role FROM users", [], |row| row.get(0)).expect("a user");
        assert_eq!(role, "member");
    }

    #[test]
    fn lists_cannot_show_a_wrong_password_flag() {
        let (_directory, connection) = latest_file();

        for (password, flag) in [("'x'", "NULL"), ("NULL", "NULL"), ("'x'", "0"), ("NULL", "1")] {
            let user = format!(
                "INSERT INTO users (id, email, name, standing, epoch, created, password, has_password)
                 VALUES (zeroblob(16), 'ada@example.org', 'Ada', 'active', 1, 0, {password}, {flag})"
            );
            connection.execute(&user, []).expect_err(&user);
        }
    }

    #[test]
    fn newer_file_is_rejected() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("postern.db");
        let mut newer = connect(&path).expect("an empty file");
        migrate_schema(&mut newer, &path).expect("the latest version");
        newer.execute("UPDATE refinery_schema_history SET version = 99 WHERE version = 1", []).expect("valid SQL");

        assert!(matches!(migrate_schema(&mut newer, &path), Err(DataDirError::TooNew { found: 99, .. })));
        assert!(!is_up_to_date(&newer, &path).expect("a file"));
    }

    /// Only commands end the sessions of all users or import users, and only a task of the server counts users. The query of
    /// administrators scans an index that has nobody else.
    #[test]
    fn no_query_of_a_request_scans_a_table() {
        let (_directory, connection) = latest_file();

        let mut scans = Vec::new();
        for file in std::fs::read_dir("sql/sqlite/queries").expect("a directory") {
            let file = file.expect("a file");
            let name = file.file_name().into_string().expect("a name");
            let query = std::fs::read_to_string(file.path()).expect("a text");
            if !name.starts_with("import.") && plan(&connection, &query).iter().any(|step| step.starts_with("SCAN")) {
                scans.push(name);
            }
        }

        scans.sort();
        assert_eq!(scans, ["admin.administrators.sql", "admin.end_all_sessions.sql", "users.imported_hashes.sql"]);
    }

    /// Neighbours in the orders of these pages are anywhere in their table.
    #[test]
    fn pages_of_scattered_rows_are_read_from_their_index_alone() {
        let (_directory, connection) = latest_file();

        let users = ["email", "logins", "administrators", "inactive"]
            .map(|order| ["ascending", "descending"].map(|direction| format!("users.page_{order}_{direction}")));
        let events = ["user", "address"].map(|key| format!("audit.page_{key}"));
        for page in users.into_iter().flatten().chain(events) {
            let query = std::fs::read_to_string(format!("sql/sqlite/queries/{page}.sql")).expect("a text");
            let plan = plan(&connection, &query);
            let [step] = plan.as_slice() else { panic!("{page}: {plan:?}") };
            assert!(step.contains(" USING COVERING INDEX "), "{page}: {step}");
        }
    }

    fn plan(connection: &Connection, query: &str) -> Vec<String> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).expect("valid SQL");
        let mut rows = statement.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next().expect("a plan") {
            steps.push(row.get("detail").expect("a step"));
        }
        steps
    }
}
