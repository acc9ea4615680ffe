//! Errors of the embedded store.

use std::{io, path::PathBuf};

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// The name that errors and logs call this store by.
pub const STORE: &str = "embedded store";

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            // Without a code it was not SQLite, but a value of a kind that was not expected.
            None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::corrupt(STORE, &error),
            Some(_) => Self::unavailable(STORE, &error),
        }
    }
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another server has it.
    #[error("another server is running on {}", .0.display())]
    Locked(PathBuf),
    /// A server of another version has it.
    #[error("the server on {} is of another version: stop it first", .0.display())]
    OtherVersion(PathBuf),
    /// A copy was put into the place of the file under a running server.
    #[error("{} was copied over while a server runs: stop the server, copy again, start it", .0.display())]
    CopiedOver(PathBuf),
    /// A file that was to be made is there already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// Nothing has been kept there.
    #[error("there is no store in {}", .0.display())]
    Nothing(PathBuf),
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
