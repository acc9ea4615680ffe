//! Users in PostgreSQL.

use postern::store::postgres::migrate;
use tokio_postgres::{Client, NoTls, error::SqlState};

use super::{Account, Common, NAME};

const INSERT: &str = "
    INSERT INTO users (id, email, name, password, standing, epoch, created)
    SELECT id, email, $1, $2, 'active', epoch, $3
    FROM unnest($4::uuid[], $5::text[], $6::bigint[]) AS account (id, email, epoch)";

/// The number of rows of a statement.
const CHUNK: usize = 10_000;

/// Creates the database if it does not exist, migrates it, and inserts the users.
pub async fn insert(database: &str, accounts: &[Account], common: &Common) {
    create(database).await;
    migrate(&database.parse().expect("a URL"), &|_| {}).await.expect("the schema");
    let client = connect(database).await;
    for chunk in accounts.chunks(CHUNK) {
        let ids: Vec<_> = chunk.iter().map(|account| account.user.0).collect();
        let emails: Vec<_> = chunk.iter().map(|account| account.email.as_str()).collect();
        let epochs: Vec<_> = chunk.iter().map(|account| account.epoch.0).collect();
        client
            .execute(INSERT, &[&NAME, &common.password, &common.created, &ids, &emails, &epochs])
            .await
            .expect("new users");
    }
    client.batch_execute("VACUUM ANALYZE users").await.expect("valid SQL");
}

async fn create(database: &str) {
    let (server, name) = database.rsplit_once('/').expect("the URL of a database");
    let client = connect(&format!("{server}/postgres")).await;
    match client.batch_execute(&format!("CREATE DATABASE {name}")).await {
        Err(error) if error.code() != Some(&SqlState::DUPLICATE_DATABASE) => panic!("CREATE DATABASE {name}: {error}"),
        _ => {}
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("PostgreSQL responds");
    tokio::spawn(connection);
    client
}
