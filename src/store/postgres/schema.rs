//! The schema: whether it is new enough, and what brings it up to date.

use std::{error::Error, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, error::SqlState};

use super::{
    connector::Connector,
    error::SchemaError,
    url::{CONNECT_TIMEOUT, PostgresUrl},
};

mod migrations {
    refinery::embed_migrations!("sql/postgres/migrations");
}

/// How long a migration waits for a lock on a table: whoever comes after it waits as long, requests included.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// How long it gives way to those, and how often.
const LOCK_PAUSE: Duration = Duration::from_millis(500);
const LOCK_ATTEMPTS: u32 = 30;

/// The key of the advisory lock that one migration at a time holds: "postern" in ASCII.
const MIGRATION_LOCK: i64 = 0x0070_6f73_7465_726e;

const SCHEMA_EXISTS: &str = include_str!("../../../sql/postgres/queries/schema.exists.sql");
const SCHEMA_VERSION: &str = include_str!("../../../sql/postgres/queries/schema.version.sql");

/// Brings the schema up to date and returns how many migrations were applied. Replicas that call it at once take turns.
/// Where a table is locked, as by a dump, each migration gives way and is tried again, for half a minute.
///
/// # Errors
/// Where PostgreSQL does not answer, or a migration fails.
pub async fn migrate(url: &PostgresUrl) -> Result<usize, SchemaError> {
    let mut client = connect(url).await?;
    // Given back when the connection ends, whatever becomes of the migrations.
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await?;
    client.batch_execute(&format!("SET lock_timeout = {}", LOCK_TIMEOUT.as_millis())).await?;
    // A replica that is one version behind may call this too: what it does not know is not its business.
    let runner = migrations::migrations::runner().set_abort_missing(false);
    let before = schema_version(&client).await?;
    for _ in 0..LOCK_ATTEMPTS {
        match runner.run_async(&mut client).await {
            Err(error) if is_lock_timeout(&error) => sleep(LOCK_PAUSE).await,
            outcome => {
                outcome?;
                let applied = schema_version(&client).await? - before;
                return Ok(usize::try_from(applied).unwrap_or_default());
            }
        }
    }
    Err(SchemaError::Locked)
}

fn is_lock_timeout(error: &(dyn Error + 'static)) -> bool {
    let code = error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
    code == Some(&SqlState::LOCK_NOT_AVAILABLE) || error.source().is_some_and(is_lock_timeout)
}

/// Whether the schema is as new as this binary needs it. A newer one serves: migrations keep older replicas running.
///
/// # Errors
/// Where it is too old, or PostgreSQL does not answer.
pub async fn check_schema(url: &PostgresUrl) -> Result<(), SchemaError> {
    let check = async { check_schema_of(&connect(url).await?).await };
    timeout(CONNECT_TIMEOUT, check).await.unwrap_or(Err(SchemaError::Silent))
}

/// The same, of a connection.
///
/// # Errors
/// The same.
pub async fn check_schema_of(client: &Client) -> Result<(), SchemaError> {
    let migrations = migrations::migrations::runner();
    let needed = migrations.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or_default();
    match schema_version(client).await? {
        found if found < needed => Err(SchemaError::TooOld { found, needed }),
        _ => Ok(()),
    }
}

/// The latest migration that was applied; zero where there is none.
async fn schema_version(client: &Client) -> Result<i32, SchemaError> {
    let exists: bool = client.query_one(SCHEMA_EXISTS, &[]).await?.try_get(0)?;
    let found: Option<i32> = if exists { client.query_one(SCHEMA_VERSION, &[]).await?.try_get(0)? } else { None };
    Ok(found.unwrap_or_default())
}

/// A connection of its own, outside the pool.
async fn connect(url: &PostgresUrl) -> Result<Client, SchemaError> {
    let server = Connector::new(url)?;
    let connected = timeout(CONNECT_TIMEOUT, server.connect()).await.map_err(|_| SchemaError::Silent)?;
    Ok(connected.map(|(client, _)| client)?)
}
