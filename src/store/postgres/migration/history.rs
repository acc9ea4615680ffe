//! The record of applied migrations, in the form of refinery, and that of the steps of a migration under way.

use refinery::Migration;
use tokio_postgres::{Client, GenericClient, Transaction};

use crate::store::postgres::{error::SchemaError, known_migrations::known_migrations};

const HISTORY: &str = include_str!("../../../../sql/postgres/queries/migration.history.sql");
const CREATE_HISTORY: &str = include_str!("../../../../sql/postgres/queries/migration.create_history.sql");
const RECORD: &str = include_str!("../../../../sql/postgres/queries/migration.record.sql");
const CREATE_PROGRESS: &str = include_str!("../../../../sql/postgres/queries/migration.create_progress.sql");
const PROGRESS: &str = include_str!("../../../../sql/postgres/queries/migration.progress.sql");
const STEP_DONE: &str = include_str!("../../../../sql/postgres/queries/migration.step_done.sql");
const BATCH_DONE: &str = include_str!("../../../../sql/postgres/queries/migration.batch_done.sql");
const SCHEMAS: &str = include_str!("../../../../sql/postgres/queries/migration.schemas.sql");
const PRIVILEGES: &str = include_str!("../../../../sql/postgres/queries/migration.privileges.sql");

/// The migrations that a database needs.
pub(super) struct Pending {
    /// Whether no migration is applied, so that no server uses the database.
    pub is_new: bool,
    /// The missing migrations, in the order of their versions.
    pub migrations: Vec<Migration>,
}

/// Returns the migrations that are missing. A later version of Postern may have applied ones that this binary does not know.
///
/// # Errors
/// Returns [`SchemaError::Divergent`] if an applied migration has another name or text than that of this binary.
pub(super) async fn pending(client: &Client) -> Result<Pending, SchemaError> {
    let exists = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
    let has_history: bool = client.query_one(exists, &[]).await?.try_get(0)?;
    let applied = if has_history { client.query(HISTORY, &[]).await? } else { Vec::new() };
    let known = known_migrations();
    let mut latest = 0;
    for row in &applied {
        let (version, name, checksum): (i32, String, String) =
            (row.try_get("version")?, row.try_get("name")?, row.try_get("checksum")?);
        latest = latest.max(version);
        let expected = known.iter().find(|migration| migration.version() == version);
        if let Some(expected) = expected
            && (expected.name() != name || expected.checksum().to_string() != checksum)
        {
            let applied = format!("V{version}__{name}");
            return Err(SchemaError::Divergent { applied, expected: expected.to_string() });
        }
    }
    let migrations = known.into_iter().filter(|migration| migration.version() > latest).collect();
    Ok(Pending { is_new: applied.is_empty(), migrations })
}

/// Checks that migrations change the schema that has the record of applied ones, if there is a record: PostgreSQL finds a table
/// in any schema of the `search_path`, but creates one in the first schema.
///
/// # Errors
/// Returns [`SchemaError::OtherSchema`] if not.
pub(super) async fn check_schema(client: &Client) -> Result<(), SchemaError> {
    let row = client.query_one(SCHEMAS, &[]).await?;
    let (found, current): (Option<String>, Option<String>) = (row.try_get("history")?, row.try_get("current")?);
    match (found, current) {
        (Some(found), Some(current)) if found != current => Err(SchemaError::OtherSchema { found, current }),
        _ => Ok(()),
    }
}

/// Checks that the role may create tables and owns the existing ones.
///
/// # Errors
/// Returns [`SchemaError::MissingPrivilege`] if not.
pub(super) async fn check_privileges(client: &Client) -> Result<(), SchemaError> {
    let row = client.query_one(PRIVILEGES, &[]).await?;
    let (role, schema): (String, Option<String>) = (row.try_get("role")?, row.try_get("schema")?);
    let (may_create, other): (bool, Option<String>) = (row.try_get("may_create")?, row.try_get("table_of_another")?);
    let expected = match (schema, other) {
        (None, _) => "a schema of its search_path that exists and that it may use".to_owned(),
        (Some(schema), _) if !may_create => format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}"),
        (_, Some(table)) => format!("the owner of table {table}"),
        _ => return Ok(()),
    };
    Err(SchemaError::MissingPrivilege { role, expected })
}

/// Creates the record of applied migrations, unless it exists.
pub(super) async fn create(client: &Client) -> Result<(), SchemaError> {
    Ok(client.batch_execute(CREATE_HISTORY).await?)
}

/// Records that a migration is applied.
pub(super) async fn record(transaction: &Transaction<'_>, migration: &Migration) -> Result<(), tokio_postgres::Error> {
    let checksum = migration.checksum().to_string();
    transaction.execute(RECORD, &[&migration.version(), &migration.name(), &checksum]).await.map(drop)
}

/// How far a migration of several steps is.
#[derive(Debug, Default)]
pub(super) struct StepsDone {
    /// How many steps are done.
    pub steps: usize,
    /// The last row that the batches of the next step have had, as text.
    pub position: Option<String>,
    /// How many rows they have had.
    pub rows: i64,
}

/// Returns how far a migration is, after it is recorded as begun.
///
/// # Errors
/// Returns [`SchemaError::Divergent`] if it was begun with another text.
pub(super) async fn begin(client: &Client, migration: &Migration) -> Result<StepsDone, SchemaError> {
    client.batch_execute(CREATE_PROGRESS).await?;
    let checksum = migration.checksum().to_string();
    let row = client.query_one(PROGRESS, &[&migration.version(), &checksum]).await?;
    if row.try_get::<_, String>("checksum")? != checksum {
        return Err(SchemaError::Divergent {
            applied: format!("{migration} (begun)"),
            expected: migration.to_string(),
        });
    }
    let steps: i32 = row.try_get("steps_done")?;
    let steps = usize::try_from(steps).unwrap_or_default();
    Ok(StepsDone { steps, position: row.try_get("position")?, rows: row.try_get("rows")? })
}

/// Records how many steps of a migration are done.
pub(super) async fn step_done(
    client: &impl GenericClient,
    migration: &Migration,
    steps: usize,
) -> Result<(), tokio_postgres::Error> {
    let steps = i32::try_from(steps).unwrap_or(i32::MAX);
    client.execute(STEP_DONE, &[&migration.version(), &steps]).await.map(drop)
}

/// Records how far the batches of a step are.
pub(super) async fn batch_done(
    transaction: &Transaction<'_>,
    migration: &Migration,
    (position, rows): (&str, i64),
) -> Result<(), tokio_postgres::Error> {
    transaction.execute(BATCH_DONE, &[&migration.version(), &position, &rows]).await.map(drop)
}

/// Records that a migration of several steps is applied, and removes the record of its steps.
pub(super) async fn complete(client: &mut Client, migration: &Migration) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    record(&transaction, migration).await?;
    transaction.batch_execute("DROP TABLE migration_progress").await?;
    transaction.commit().await
}
