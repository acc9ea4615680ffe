//! Errors of PostgreSQL and of its schema.

use std::error::Error;

use tokio_postgres::{
    error::{DbError, SqlState},
    types::WrongType,
};

use crate::store::{StoreError, StoreTlsError, tls::with_tls_advice};

/// The name of the store in errors and logs.
pub(super) const STORE: &str = "PostgreSQL";

/// What an error of a statement is about: its SQLSTATE decides (PostgreSQL documentation, appendix A, "Error Codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// PostgreSQL cannot run the statement now.
    Outage,
    /// A prepared statement is missing or outdated, so PostgreSQL did not run it: a table was altered, or a connection pooler
    /// switched servers.
    StaleStatement,
    /// A value or a row: it violates a constraint, or a trigger rejects it. Codes that are not listed are of this kind, so
    /// that one row cannot block the others.
    Value,
    /// The statement, regardless of its values: for example, a privilege or a table is missing.
    Statement,
    /// The files of the database are damaged.
    Corrupt,
}

impl Fault {
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        match error.code() {
            // PgBouncer does not pass on every parameter of the URL.
            Some(_) if is_unsupported_parameter(error) => Self::Statement,
            Some(code) => Self::of_code(code),
            // A column has another type than that of the migrations.
            None if error.source().is_some_and(<dyn Error>::is::<WrongType>) => Self::Statement,
            None => Self::Outage,
        }
    }

    fn of_code(code: &SqlState) -> Self {
        let code = code.code();
        match code {
            "0A000" | "26000" | "42P05" => return Self::StaleStatement,
            // Raised by the triggers of the audit table, unlike the rest of its class: locks, and objects in use.
            "55000" => return Self::Value,
            "XX001" | "XX002" => return Self::Corrupt,
            _ => {}
        }
        match code.get(..2) {
            // Connection; transaction state, such as read-only; login, of which 3D is a part; rollback; resources; objects in
            // use; intervention; system and configuration files.
            Some("08" | "25" | "28" | "3D" | "40" | "53" | "55" | "57" | "58" | "F0") => Self::Outage,
            // Roles and grants; schemas; privileges, tables, columns and functions; limits of the server, which stops all
            // writes with one of them.
            Some("0L" | "0P" | "3F" | "42" | "54") => Self::Statement,
            _ => Self::Value,
        }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let reason = error_chain(&error);
        match Fault::of(&error) {
            Fault::Outage => Self::unavailable(STORE, &reason),
            Fault::Value => Self::rejected(STORE, &reason),
            // A stale statement is retried once. An error that remains has a lasting cause, such as a connection pooler
            // without support for prepared statements.
            Fault::Statement | Fault::StaleStatement => Self::misconfigured(STORE, &reason),
            Fault::Corrupt => Self::corrupt(STORE, &reason),
        }
    }
}

/// Returns the messages of an error and its causes, which the drivers leave out of their own messages. Of an error that
/// PostgreSQL returned, takes the message and the code, but never a value. Adds what to do about a rejected certificate.
pub(super) fn error_chain(error: &(dyn Error + 'static)) -> String {
    let message = |error: &(dyn Error + 'static)| match error.downcast_ref::<DbError>() {
        Some(error) => format!("{} ({}){}", message_without_values(error), error.code().code(), advice(error)),
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
    with_tls_advice(chain, "POSTERN_DATABASE")
}

/// Returns what to do after an error that a connection pooler causes.
fn advice(error: &DbError) -> &'static str {
    match error.code().code() {
        "26000" | "42P05" => {
            "; with a connection pooler such as PgBouncer, set pool_mode = session, or connect to PostgreSQL itself"
        }
        "08P01" if error.message().starts_with(UNSUPPORTED_PARAMETER) => {
            "; a connection pooler such as PgBouncer rejects this parameter of DATABASE_URL: connect to PostgreSQL itself"
        }
        _ => "",
    }
}

/// The message of PgBouncer about a parameter of the URL that it does not pass on.
const UNSUPPORTED_PARAMETER: &str = "unsupported startup parameter";

fn is_unsupported_parameter(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| error.message().starts_with(UNSUPPORTED_PARAMETER))
}

/// Returns the message of an error unless it may contain values. The message about a violated constraint contains names only:
/// its values are in the detail.
fn message_without_values(error: &DbError) -> &str {
    let code = error.code();
    match Fault::of_code(code) {
        Fault::Value if code.code().starts_with("22") => "invalid value",
        Fault::Value if !code.code().starts_with("23") => "raised by a function or trigger",
        _ => error.message(),
    }
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
    /// The database has an encoding that cannot store all names and user agents.
    #[error("database `{database}` has the encoding {found}, expected UTF8: create it with ENCODING 'UTF8'")]
    Encoding {
        /// The name of the database.
        database: String,
        /// Its encoding.
        found: String,
    },
    /// A connection pooler or the role changes the encoding of the connection.
    #[error("connections to database `{database}` have the client encoding {found}, expected UTF8")]
    ClientEncoding {
        /// The name of the database.
        database: String,
        /// The encoding of the connection.
        found: String,
    },
    /// A connection pooler gives each transaction another connection, so prepared statements are lost.
    #[error(
        "DATABASE_URL leads to a connection pooler in transaction mode, such as PgBouncer, which loses prepared statements: \
         set pool_mode = session for this database, or connect to PostgreSQL itself"
    )]
    Pooled,
    /// The connection to PostgreSQL or a statement failed.
    #[error("PostgreSQL: {}", error_chain(.0))]
    Unreachable(#[from] tokio_postgres::Error),
    /// PostgreSQL did not respond in time.
    #[error("PostgreSQL did not respond in time")]
    NoResponse,
    /// TLS is required, and there are no usable certificates for it.
    #[error("TLS to PostgreSQL: {0}")]
    Tls(#[from] StoreTlsError),
    /// Another session kept a table locked.
    #[error("failed to migrate PostgreSQL: a table is locked, perhaps by a dump; try again later")]
    Locked,
    /// Another migration did not end.
    #[error("another migration of PostgreSQL has run for an hour; try again later")]
    Busy,
    /// An applied migration is another one than that of this binary.
    #[error(
        "failed to migrate PostgreSQL: the applied migration {applied} is different from {expected} of this version of Postern"
    )]
    Divergent {
        /// The migration of the database.
        applied: String,
        /// The migration of this binary with the same version.
        expected: String,
    },
    /// The role lacks a privilege that a migration needs.
    #[error("failed to migrate PostgreSQL: role {role} lacks a privilege: expected {expected}")]
    MissingPrivilege {
        /// The role of the connection.
        role: String,
        /// What is missing.
        expected: String,
    },
    /// The tables are in a schema of the `search_path` that is not the first one, where new ones would be created.
    #[error(
        "failed to migrate PostgreSQL: the tables are in schema {found}, but new ones would be created in schema {current}, \
         which precedes it in the search_path: expected options=-csearch_path%3D{found} in DATABASE_URL"
    )]
    OtherSchema {
        /// The schema of the tables.
        found: String,
        /// The first schema of the `search_path`.
        current: String,
    },
    /// Something else has the name of an index that a migration builds.
    #[error(
        "failed to migrate PostgreSQL: {name} is not the index of table {table} that the migration builds: rename it"
    )]
    NameTaken {
        /// The name of the index.
        name: String,
        /// The table of the index.
        table: String,
    },
    /// The text of a migration of this binary is invalid.
    #[error("invalid migration {migration}: {reason}")]
    InvalidMigration {
        /// The migration.
        migration: String,
        /// What is invalid and what is expected.
        reason: String,
    },
    /// A statement of a migration failed.
    #[error("failed to migrate PostgreSQL: {migration}: {}", error_chain(.source))]
    Migration {
        /// The migration. Its steps before this one remain applied.
        migration: String,
        /// The error of PostgreSQL.
        source: tokio_postgres::Error,
    },
}

impl SchemaError {
    /// Returns whether a retry may succeed, without a change to the database.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable(error) => matches!(Fault::of(error), Fault::Outage | Fault::Value),
            Self::NoResponse | Self::Locked | Self::Busy => true,
            _ => false,
        }
    }

    /// Adds the migration to an error that PostgreSQL returned for one of its statements.
    pub(super) fn in_migration(self, migration: String) -> Self {
        match self {
            Self::Unreachable(source) if source.as_db_error().is_some() => Self::Migration { migration, source },
            error => error,
        }
    }
}

impl From<SchemaError> for StoreError {
    fn from(error: SchemaError) -> Self {
        match error {
            // No row was sent: a code that is about a value otherwise, such as 55000 of a database that accepts no
            // connections, must not set aside a row.
            SchemaError::Unreachable(error) => match error.into() {
                Self::Rejected { store, reason } => Self::Unavailable { store, reason },
                error => error,
            },
            error if error.is_outage() => Self::unavailable(STORE, &error),
            error => Self::misconfigured(STORE, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide_what_an_error_is_about() {
        let fault = |code: &&str| Fault::of_code(&SqlState::from_code(code));
        let outages =
            ["08006", "25006", "28P01", "3D000", "40001", "40P01", "53100", "53300", "55P03", "57014", "58030"];
        let values = ["22021", "22P05", "22001", "23505", "23514", "44000", "55000", "P0001", "XX000", "ZZ999", ""];
        let statements = ["42501", "42P01", "42703", "3F000", "54000"];

        assert!(outages.iter().all(|code| fault(code) == Fault::Outage));
        assert!(values.iter().all(|code| fault(code) == Fault::Value));
        assert!(statements.iter().all(|code| fault(code) == Fault::Statement));
        assert!(["0A000", "26000", "42P05"].iter().all(|code| fault(code) == Fault::StaleStatement));
        assert!(["XX001", "XX002"].iter().all(|code| fault(code) == Fault::Corrupt));
    }
}
