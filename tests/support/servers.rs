//! The servers that `scripts/with-stores` has started.

use tokio_postgres::{Client, NoTls};

/// Returns the URL of a new, empty schema in the shared PostgreSQL.
pub async fn empty_schema() -> String {
    let schema = format!("test_{}", uuid::Uuid::new_v4().simple());
    sql(&database_url(), &format!("CREATE SCHEMA {schema}")).await;
    format!("{}?options=-csearch_path%3D{schema}", database_url())
}

/// Returns the URL of a new, empty database in the shared PostgreSQL. Unlike a schema, it has advisory locks of its
/// own.
pub async fn empty_database() -> String {
    empty_database_in("UTF8").await
}

/// Returns the URL of a new, empty database with this encoding.
pub async fn empty_database_in(encoding: &str) -> String {
    let database = format!("test_{}", uuid::Uuid::new_v4().simple());
    let options = format!("ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    sql(&database_url(), &format!("CREATE DATABASE {database} {options}")).await;
    let url = database_url();
    let (server, _) = url.rsplit_once('/').expect("a URL with a database");
    format!("{server}/{database}")
}

/// Runs SQL in the PostgreSQL at a URL.
pub async fn sql(url: &str, text: &str) {
    try_sql(url, text).await.expect("valid SQL");
}

/// Runs SQL that may be refused.
pub async fn try_sql(url: &str, text: &str) -> Result<(), String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("PostgreSQL responds");
    let connection = tokio::spawn(connection);
    let outcome = client.batch_execute(text).await.map_err(|error| format!("{:?}", error.as_db_error()));
    drop(client);
    connection.await.expect("no panic").expect("a clean end");
    outcome
}

/// Opens a connection to the PostgreSQL at a URL.
pub async fn postgres_client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("PostgreSQL responds");
    tokio::spawn(connection);
    client
}

/// Opens a connection to the Redis at a URL.
pub async fn redis_connection(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("Redis responds")
}

/// The shared PostgreSQL.
pub fn database_url() -> String {
    variable("POSTERN_TEST_DATABASE_URL")
}

/// The shared Redis.
pub fn redis_url() -> String {
    variable("POSTERN_TEST_REDIS_URL")
}

/// Returns an environment variable that `scripts/with-stores` sets.
pub fn variable(name: &str) -> String {
    try_variable(name).unwrap_or_else(|| panic!("{name} is not set: run this by scripts/with-stores"))
}

/// Returns an environment variable that a script may set.
pub fn try_variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a variable of the tests is no setting of the service")]
    std::env::var(name).ok()
}

/// Tells whether an environment variable is set to something.
pub fn is_set(name: &str) -> bool {
    try_variable(name).is_some_and(|value| !value.is_empty())
}
