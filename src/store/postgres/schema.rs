//! The check of the PostgreSQL schema, and connections outside the pool.

use tokio::time::timeout;
use tokio_postgres::Client;

use super::{
    connector::PostgresConnector,
    error::SchemaError,
    known_migrations::latest_version,
    pooler::{check_not_pooled, leave_statement},
    url::{CONNECT_TIMEOUT, PostgresUrl},
};

/// Let PostgreSQL end the session soon after this process or its machine is gone, also amid a statement; otherwise it would hold
/// its locks until then. The first needs PostgreSQL 14 on Linux, macOS or a BSD, the others have no effect without TCP.
pub(super) const NOTICE_LOSS: [&str; 4] = [
    "SET client_connection_check_interval = '1s'",
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 4",
];

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
    let needed = latest_version();
    match read_database(client).await? {
        (_, found) if found < needed => Err(SchemaError::TooOld { found, needed }),
        (encoding, _) => Ok(encoding),
    }
}

/// Returns the encoding of the database, and the version of the latest applied migration or 0 if there is none.
pub(super) async fn read_database(client: &Client) -> Result<(DatabaseEncoding, i32), SchemaError> {
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

/// Changes settings of a session, without those that the version of PostgreSQL or its system does not have.
pub(super) async fn set_if_supported(client: &Client, settings: &[&str]) -> Result<(), SchemaError> {
    for setting in settings {
        match client.batch_execute(setting).await {
            Err(error) if error.as_db_error().is_some() => {}
            outcome => outcome?,
        }
    }
    Ok(())
}
