//! Errors of the embedded store.

use std::{io, path::PathBuf};

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// The name of the store in errors and logs.
pub(super) const STORE: &str = "embedded store";

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            // An error without a code is not from SQLite: a value has an unexpected type.
            None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::corrupt(STORE, &error),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
                Self::rejected(STORE, &error)
            }
            // `Unknown` is SQLITE_ERROR: a table or a column is missing.
            Some(
                ErrorCode::Unknown
                | ErrorCode::SchemaChanged
                | ErrorCode::ApiMisuse
                | ErrorCode::ParameterOutOfRange
                | ErrorCode::AuthorizationForStatementDenied,
            ) => Self::misconfigured(STORE, &error),
            Some(_) => Self::unavailable(STORE, &error),
        }
    }
}

/// The error of opening, migrating or backing up a data directory.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another server uses the data directory.
    #[error("another server is running on {}", .0.display())]
    Locked(PathBuf),
    /// A server of a different version uses the data directory.
    #[error("the server on {} has a different version: stop it first", .0.display())]
    OtherVersion(PathBuf),
    /// A backup was copied over the store while a server was running.
    #[error("{} was copied over while a server was running: stop the server, copy again, restart it", .0.display())]
    CopiedOver(PathBuf),
    /// The file to write already exists.
    #[error("{} already exists", .0.display())]
    Exists(PathBuf),
    /// The directory contains no store.
    #[error("no store in {}", .0.display())]
    NoStore(PathBuf),
    /// A newer version of Postern wrote the file.
    #[error("{} has schema version {found} of a newer Postern, expected at most {known}", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The schema version of the file.
        found: i32,
        /// The latest schema version that this binary knows.
        known: i32,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// SQLite returned an error.
    #[error("{}: {source}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// A migration failed.
    #[error("{}: {source}", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// The error of the migration.
        source: Box<refinery::Error>,
    },
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn errors_that_no_retry_mends_are_no_outage() {
        let connection = Connection::open_in_memory().expect("memory");
        connection.execute_batch("CREATE TABLE notes (text TEXT CHECK (text <> 'bad'))").expect("valid SQL");
        let label = |sql| StoreError::from(connection.execute_batch(sql).expect_err(sql)).label();

        assert_eq!(label("INSERT INTO notes VALUES ('bad')"), "rejected");
        assert_eq!(label("INSERT INTO letters VALUES ('good')"), "misconfigured");
        assert_eq!(label("INSERT INTO notes (author) VALUES ('Ada')"), "misconfigured");
        connection.execute_batch("PRAGMA query_only = on").expect("valid SQL");
        assert_eq!(label("INSERT INTO notes VALUES ('good')"), "unavailable");
    }
}
