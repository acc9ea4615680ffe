//! The errors that stop an import.

use std::{io, path::PathBuf};

use crate::store::{StoreError, postgres::SchemaError};

/// An error that stops an import. No message contains a password of a URL.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The value of `--from` is of no known kind. It is not repeated, because it may be a mistyped URL with a password.
    #[error("expected postgres://… or a file: the output of dumpdata, or a CSV file with a header")]
    UnknownSource,
    /// The value of `--from` is an invalid URL.
    #[error("expected {0}")]
    InvalidUrl(String),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is invalid, and what is expected.
        reason: String,
    },
    /// The table or the columns of the users were not found.
    #[error("{0}")]
    Layout(String),
    /// The source cannot be reached.
    #[error("source: {0}")]
    Connection(String),
    /// The role may not read a table of the source.
    #[error("source: no privilege to read {table}: expected GRANT SELECT ON {table} TO {role}")]
    Privilege {
        /// The table, with its schema.
        table: String,
        /// The role.
        role: String,
    },
    /// The source failed.
    #[error("source: {0}")]
    Source(StoreError),
    /// The store failed.
    #[error("{0}; what was imported stays: run the command again to continue")]
    Store(#[from] StoreError),
    /// The task that reads the source ended early.
    #[error("the source was not read to its end")]
    Reader,
}

impl ImportError {
    /// Returns whether the value of `--from` is invalid.
    #[must_use]
    pub fn is_invalid_source(&self) -> bool {
        matches!(self, Self::UnknownSource | Self::InvalidUrl(_))
    }
}

impl From<SchemaError> for ImportError {
    fn from(error: SchemaError) -> Self {
        // The advice names the setting of the store.
        Self::Connection(error.to_string().replace("POSTERN_DATABASE_CA_FILE", "--from-ca"))
    }
}
