//! The check and the migration of the PostgreSQL schema.

use std::{error::Error, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, error::SqlState};

use super::{
    connector::PostgresConnector,
    error::SchemaError,
    pooler::{check_not_pooled, leave_statement},
    url::{CONNECT_TIMEOUT, PostgresUrl},
};

mod migrations {
    refinery::embed_migrations!("sql/postgres/migrations");
}

/// How long a migration waits for a table lock. Statements that need the table queue behind it for as long.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a migration lets those statements through before it tries again.
const LOCK_PAUSE: Duration = Duration::from_millis(500);

/// How often a migration tries to get its locks: for half a minute in total.
const LOCK_ATTEMPTS: u32 = 30;

/// The key of the advisory lock that serialises migrations: "postern" in ASCII.
const MIGRATION_LOCK: i64 = 0x0070_6f73_7465_726e;

const DATABASE: &str = include_str!("../../../sql/postgres/queries/schema.database.sql");
const SCHEMA_VERSION: &str = include_str!("../../../sql/postgres/queries/schema.version.sql");

/// An encoding that can store all text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseEncoding {
    /// UTF-8.
    Utf8,
    /// None: PostgreSQL stores bytes, and does not check that they are UTF-8.
    SqlAscii,
}

/// Migrates the schema to the latest version, and returns the number of migrations applied. Concurrent calls run one
/// after the other. While a table is locked, for example by a dump, tries again for half a minute.
///
/// # Errors
/// Returns [`SchemaError::Locked`] if a table stays locked, [`SchemaError::Pooled`] behind a connection pooler in transaction
/// mode, or another [`SchemaError`] if PostgreSQL does not respond, the database has another encoding than UTF-8, or a migration
/// fails.
pub async fn migrate(url: &PostgresUrl) -> Result<usize, SchemaError> {
    let mut client = connect(url).await?;
    check_not_pooled(&client).await?;
    // The lock is released when the connection ends.
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await?;
    client.batch_execute(&format!("SET lock_timeout = {}", LOCK_TIMEOUT.as_millis())).await?;
    // A replica of the previous version may call this too: it ignores migrations that it does not know.
    let runner = migrations::migrations::runner().set_abort_missing(false);
    let (_, before) = read_database(&client).await?;
    for _ in 0..LOCK_ATTEMPTS {
        match runner.run_async(&mut client).await {
            Err(error) if is_lock_timeout(&error) => sleep(LOCK_PAUSE).await,
            outcome => {
                outcome?;
                let applied = read_database(&client).await?.1 - before;
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

/// Checks that the encoding is UTF-8, or at least stores it, and that the schema is at least at the version that this binary
/// needs. A newer one is accepted, because migrations stay compatible with replicas of the previous version.
///
/// # Errors
/// Returns [`SchemaError::TooOld`] if a migration is missing, [`SchemaError::Encoding`] if the database has another encoding,
/// [`SchemaError::Pooled`] behind a connection pooler in transaction mode, or another [`SchemaError`] if PostgreSQL does not
/// respond.
pub async fn check_schema(url: &PostgresUrl) -> Result<DatabaseEncoding, SchemaError> {
    let client = connect(url).await?;
    let check = async {
        check_not_pooled(&client).await?;
        check_schema_of(&client).await
    };
    timeout(CONNECT_TIMEOUT, check).await.unwrap_or(Err(SchemaError::NoResponse))
}

/// Checks the database as [`check_schema`] does, over a given connection.
pub(super) async fn check_schema_of(client: &Client) -> Result<DatabaseEncoding, SchemaError> {
    let migrations = migrations::migrations::runner();
    let needed = migrations.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or_default();
    match read_database(client).await? {
        (_, found) if found < needed => Err(SchemaError::TooOld { found, needed }),
        (encoding, _) => Ok(encoding),
    }
}

/// Returns the encoding of the database, and the version of the latest applied migration or 0 if there is none.
async fn read_database(client: &Client) -> Result<(DatabaseEncoding, i32), SchemaError> {
    let row = client.query_one(DATABASE, &[]).await?;
    let (database, found): (String, String) = (row.try_get("name")?, row.try_get("client_encoding")?);
    if found != "UTF8" {
        return Err(SchemaError::ClientEncoding { database, found });
    }
    let found: String = row.try_get("server_encoding")?;
    let encoding = match found.as_str() {
        "UTF8" => DatabaseEncoding::Utf8,
        "SQL_ASCII" => DatabaseEncoding::SqlAscii,
        _ => return Err(SchemaError::Encoding { database, found }),
    };
    let has_schema: bool = row.try_get("has_schema")?;
    let version: Option<i32> = if has_schema { client.query_one(SCHEMA_VERSION, &[]).await?.try_get(0)? } else { None };
    Ok((encoding, version.unwrap_or_default()))
}

/// Opens a connection outside the pool, after another one that reveals a connection pooler.
pub(super) async fn connect(url: &PostgresUrl) -> Result<Client, SchemaError> {
    let connector = PostgresConnector::new(url)?;
    timeout(CONNECT_TIMEOUT, leave_statement(&connector)).await.unwrap_or(Err(SchemaError::NoResponse))?;
    let connected = timeout(CONNECT_TIMEOUT, connector.connect()).await.map_err(|_| SchemaError::NoResponse)?;
    Ok(connected.map(|(client, _)| client)?)
}
