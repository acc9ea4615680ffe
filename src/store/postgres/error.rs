//! Errors of PostgreSQL.

use std::error::Error;

use tokio_postgres::error::DbError;

use crate::store::StoreError;

pub const STORE: &str = "PostgreSQL";

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::unavailable(STORE, &error_chain(&error))
    }
}

/// What an error says together with its causes, which the drivers leave out. Of what PostgreSQL said, message and code;
/// its detail may hold values.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let sentence = |error: &(dyn Error + 'static)| match error.downcast_ref::<DbError>() {
        Some(refusal) => format!("{} ({})", refusal.message(), refusal.code().code()),
        None => error.to_string(),
    };
    let mut reason = sentence(error).trim().to_owned();
    let mut cause = error.source();
    while let Some(error) = cause {
        let sentence = sentence(error);
        // Some errors say their causes themselves.
        if !reason.ends_with(sentence.trim()) {
            reason = format!("{reason}: {}", sentence.trim());
        }
        cause = error.source();
    }
    reason
}

/// Why a schema cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A migration is missing.
    #[error("the schema of PostgreSQL is at version {found}, and {needed} is needed: run `postern migrate`")]
    TooOld {
        /// Zero where there is none at all.
        found: i32,
        /// The latest that this binary knows.
        needed: i32,
    },
    /// PostgreSQL did not answer, or not as it should.
    #[error("PostgreSQL: {}", error_chain(.0))]
    Unreachable(#[from] tokio_postgres::Error),
    /// PostgreSQL did not answer in time.
    #[error("PostgreSQL does not answer")]
    Silent,
    /// TLS was asked for, and the system has no root certificates to verify a server by.
    #[error("TLS to PostgreSQL needs root certificates, and none could be read (Debian: ca-certificates)")]
    NoRootCertificates,
    /// Others kept a table locked.
    #[error("PostgreSQL could not be migrated: a table stays locked, by a dump perhaps; try again later")]
    Locked,
    /// A migration failed; nothing of it was kept.
    #[error("PostgreSQL could not be migrated: {}", error_chain(.0))]
    Migration(#[from] refinery::Error),
}
