//! PostgreSQL schemas of earlier versions.

use refinery::Target;

use super::postgres_client;

mod migrations {
    refinery::embed_migrations!("sql/postgres/migrations");
}

/// Migrates an empty PostgreSQL to a schema version as the versions of Postern before schema 6 did.
pub async fn migrate_as_before(url: &str, version: i32) {
    let mut client = postgres_client(url).await;
    let runner = migrations::migrations::runner().set_target(Target::Version(version));
    runner.run_async(&mut client).await.expect("a migration");
}
