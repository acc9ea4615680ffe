//! Errors of PostgreSQL and of its schema.

use std::error::Error;

use tokio_postgres::error::DbError;

use crate::store::StoreError;

/// The name of the store in errors and logs.
pub(super) const STORE: &str = "PostgreSQL";

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::unavailable(STORE, &error_chain(&error))
    }
}

/// Returns the messages of an error and its causes, which the drivers leave out of their own messages. Of an error that
/// PostgreSQL returned, takes the message and the code but not the detail, which may contain values.
pub(super) fn error_chain(error: &(dyn Error + 'static)) -> String {
    let message = |error: &(dyn Error + 'static)| match error.downcast_ref::<DbError>() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => error.to_string(),
    };
    let mut chain = message(error).trim().to_owned();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = message(error);
        // Some errors include the message of their cause.
        if !chain.ends_with(message.trim()) {
            chain = format!("{chain}: {}", message.trim());
        }
        cause = error.source();
    }
    chain
}

/// The error of a schema check or a migration.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A migration is missing.
    #[error("PostgreSQL has schema version {found}, expected at least {needed}: run `postern migrate`")]
    TooOld {
        /// The version in the database, or 0 if there is no schema.
        found: i32,
        /// The latest version that this binary knows.
        needed: i32,
    },
    /// The connection to PostgreSQL or a statement failed.
    #[error("PostgreSQL: {}", error_chain(.0))]
    Unreachable(#[from] tokio_postgres::Error),
    /// PostgreSQL did not respond in time.
    #[error("PostgreSQL did not respond in time")]
    NoResponse,
    /// TLS is required, and the system has no root certificates to verify the server with.
    #[error("no root certificates for TLS to PostgreSQL (install ca-certificates on Debian)")]
    NoRootCertificates,
    /// Another session kept a table locked.
    #[error("failed to migrate PostgreSQL: a table is locked, perhaps by a dump; try again later")]
    Locked,
    /// A migration failed and was rolled back.
    #[error("failed to migrate PostgreSQL: {}", error_chain(.0))]
    Migration(#[from] refinery::Error),
}
