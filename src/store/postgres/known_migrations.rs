//! The migrations that this binary contains.

use refinery::Migration;

mod migrations {
    refinery::embed_migrations!("sql/postgres/migrations");
}

/// Returns the migrations in the order of their versions.
pub(super) fn known_migrations() -> Vec<Migration> {
    let mut known = migrations::migrations::runner().get_migrations().clone();
    known.sort();
    known
}

/// Returns the version of the latest migration.
pub(super) fn latest_version() -> i32 {
    known_migrations().last().map(Migration::version).unwrap_or_default()
}
