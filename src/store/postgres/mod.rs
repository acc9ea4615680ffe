//! Users and audit events in PostgreSQL.

mod audit;
mod connection_limit;
mod connector;
mod error;
mod manager;
mod pool;
mod schema;
mod url;
mod users;

pub use self::{
    error::SchemaError,
    pool::PostgresStore,
    schema::{DatabaseEncoding, check_schema, migrate},
    url::PostgresUrl,
};
