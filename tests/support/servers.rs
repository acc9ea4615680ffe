//! The servers that `scripts/with-stores` has started.

/// The URL of a new, empty schema in the PostgreSQL of the tests.
pub async fn empty_schema() -> String {
    let schema = format!("test_{}", uuid::Uuid::new_v4().simple());
    sql(&database_url(), &format!("CREATE SCHEMA {schema}")).await;
    format!("{}?options=-csearch_path%3D{schema}", database_url())
}

/// Runs SQL in the PostgreSQL at a URL.
pub async fn sql(url: &str, text: &str) {
    try_sql(url, text).await.expect("valid SQL");
}

/// The same, where it may be refused.
pub async fn try_sql(url: &str, text: &str) -> Result<(), String> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("PostgreSQL answers");
    let connection = tokio::spawn(connection);
    let outcome = client.batch_execute(text).await.map_err(|error| format!("{:?}", error.as_db_error()));
    drop(client);
    connection.await.expect("no panic").expect("a clean end");
    outcome
}

/// The PostgreSQL that `scripts/with-stores` has started.
pub fn database_url() -> String {
    variable("POSTERN_TEST_DATABASE_URL")
}

/// The Redis that `scripts/with-stores` has started.
pub fn redis_url() -> String {
    variable("POSTERN_TEST_REDIS_URL")
}

/// An environment variable that `scripts/with-stores` sets.
pub fn variable(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "a variable of the tests is no setting of the service")]
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run this by scripts/with-stores"))
}
