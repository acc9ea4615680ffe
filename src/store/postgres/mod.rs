//! Users and audit events in PostgreSQL.
//!
//! ```text
//! users by id ─▶ batch ─┐   (one statement for all that wait)
//! other calls ──────────┴─▶ retry budget ─▶ availability ─▶ connection limit ─▶ pool ─▶ statement
//! ```
//!
//! `access.rs` is the one way to PostgreSQL, and each step of it has one purpose:
//!
//! - **Batch** (`store/batch.rs`): look-ups of users by id, which every signed-in request makes, share statements.
//! - **Retry budget**: a statement whose connection broke, or that PostgreSQL did not run, is repeated once, for at most a
//!   tenth of the calls.
//! - **Availability**: while PostgreSQL does not respond, all calls wait for the same attempts to connect, with backoff.
//! - **Connection limit**: at most 16 statements run at once, fewer while PostgreSQL has no free slots.
//! - **Pool**: connections are opened on demand; each checks the schema once. A call holds a connection only while its statement
//!   runs, and a connection whose call failed or was dropped is closed.
//! - **Time budget**: each step ends when the request's time for store calls is used up; PostgreSQL then cancels the statement.

mod access;
mod audit;
mod connection_limit;
mod connector;
mod error;
mod event_columns;
mod known_migrations;
mod manager;
mod migration;
mod pooler;
mod rows;
mod schema;
mod store;
mod url;
mod url_parameters;
mod user_admin;
mod user_columns;
mod user_directory;
mod user_import;
mod user_tables;
mod users;
mod users_by_id;

pub use self::{
    error::SchemaError,
    migration::{MigrationProgress, migrate},
    schema::{DatabaseEncoding, check_schema},
    store::PostgresStore,
    url::PostgresUrl,
    user_import::PostgresUserImport,
    user_tables::{UserColumns, UserRow, UserRows, UserTable, UserTables},
};
