//! Detects a connection pooler that shares the connections of PostgreSQL between its clients, statement by statement.
//!
//! PgBouncer in transaction mode runs each transaction on any of its connections to the server, so a statement that one of its
//! clients has prepared is missing for this client and present for another one. A new connection to PostgreSQL itself has no
//! prepared statements; nor has one by PgBouncer in session mode, which resets a connection before it is used again.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::{connector::PostgresConnector, error::SchemaError};

/// Finds a statement that another client has prepared. PgBouncer 1.21 and later can keep prepared statements itself, with names
/// of its own (`max_prepared_statements`): these are no obstacle.
const PREPARED: &str = r"SELECT name FROM pg_prepared_statements WHERE name NOT LIKE 'PGBOUNCER\_%' LIMIT 1";

/// Checks that a new connection has no prepared statements.
///
/// # Errors
/// Returns [`SchemaError::Pooled`] if it has one.
pub(super) async fn check_not_pooled(client: &Client) -> Result<(), SchemaError> {
    // A simple query prepares no statement.
    let found = client.simple_query(PREPARED).await?;
    let has_row = found.iter().any(|message| matches!(message, SimpleQueryMessage::Row(_)));
    if has_row { Err(SchemaError::Pooled) } else { Ok(()) }
}

/// Leaves a prepared statement on a connection that it closes, for the check of the next connection: the first client of a
/// pooler would find none. PgBouncer gives the next client the connection that was used last.
pub(super) async fn leave_statement(connector: &PostgresConnector) -> Result<(), SchemaError> {
    let (client, driver) = connector.connect().await?;
    let statement = client.prepare("SELECT 1").await?;
    // A statement that outlives its client is not closed.
    drop(client);
    // The task logs an error of the connection, and the outcome does not matter.
    let _ = driver.await;
    drop(statement);
    Ok(())
}
