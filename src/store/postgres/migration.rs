//! Migrates the PostgreSQL schema while servers use it.
//!
//! refinery embeds the files, and its table is the record of what is applied; its runner is not used, because it wraps each
//! file into one transaction. Such a transaction would lock a large table for as long as an index takes to build.

mod batches;
mod history;
mod index_build;
mod lock;
mod progress;
mod retries;
mod steps;

use std::time::Duration;

use refinery::Migration;
use tokio_postgres::{Client, IsolationLevel, Transaction};

pub use self::progress::MigrationProgress;
use self::{
    history::StepsDone,
    progress::{Report, StepReport},
    retries::{Retries, is_locked},
    steps::Step,
};
use super::{
    error::SchemaError,
    pooler::check_not_pooled,
    schema::{NOTICE_LOSS, connect, read_database, set_if_supported},
    url::PostgresUrl,
};

/// How long a migration waits for the lock of a table or a row. Statements that need the same lock queue behind it for as long,
/// and then for the transaction itself: together at most half a second.
const LOCK_TIMEOUT: Duration = Duration::from_millis(300);

/// Without limits, which the database or the role may set: an index of a large table takes its time, and its build waits for
/// older transactions.
const SET_UP: &str = "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0";

/// Need PostgreSQL 14 and 17.
const NO_OTHER_TIMEOUTS: [&str; 2] = ["SET idle_session_timeout = 0", "SET transaction_timeout = 0"];

/// Needs PostgreSQL 12. The plan of a batch depends on its position.
const CUSTOM_PLANS: [&str; 1] = ["SET plan_cache_mode = force_custom_plan"];

/// What a transaction does, in reports.
const CHANGING_TABLES: &str = "changing tables";

/// The rows of a batch in a database that no server uses.
const ROWS_AT_ONCE: i64 = 10_000;

/// Migrates the schema to the latest version, and returns the number of migrations applied. Concurrent calls run one
/// after the other. While a table is locked, for example by a dump, tries again for half a minute. If a call is interrupted,
/// the next one continues with the step that was interrupted.
///
/// # Errors
/// Returns [`SchemaError::Locked`] if a table stays locked, [`SchemaError::Busy`] if another migration does not end,
/// [`SchemaError::Pooled`] behind a connection pooler in transaction mode, or another [`SchemaError`] if PostgreSQL does not
/// respond, the database has another encoding than UTF-8, the role lacks a privilege, or a migration fails.
pub async fn migrate(url: &PostgresUrl, report: &(dyn Fn(&MigrationProgress) + Sync)) -> Result<usize, SchemaError> {
    let mut client = connect(url).await?;
    check_not_pooled(&client).await?;
    read_database(&client).await?;
    if history::pending(&client).await?.migrations.is_empty() {
        return Ok(0);
    }
    history::check_schema(&client).await?;
    history::check_privileges(&client).await?;
    client.batch_execute(SET_UP).await?;
    set_if_supported(&client, &NO_OTHER_TIMEOUTS).await?;
    set_if_supported(&client, &CUSTOM_PLANS).await?;
    set_if_supported(&client, &NOTICE_LOSS).await?;
    lock::lock(&client, report).await?;
    let pending = history::pending(&client).await?;
    history::create(&client).await?;
    for migration in &pending.migrations {
        let steps = steps::parse(migration.sql().unwrap_or_default())
            .map_err(|reason| SchemaError::InvalidMigration { migration: migration.to_string(), reason })?;
        // No server uses a new database: nobody waits for its locks, and it takes no time that is worth a report.
        let outcome = if pending.is_new {
            apply_at_once(&mut client, migration, &steps).await
        } else if migration.version() <= lock::LAST_OF_REFINERY {
            StepReport { report, migration: migration.to_string(), step: 1, steps: 1 }.activity(CHANGING_TABLES);
            apply_at_once(&mut client, migration, &steps).await
        } else {
            apply_in_steps(&mut client, url, migration, &steps, report).await
        };
        outcome.map_err(|error| error.in_migration(migration.to_string()))?;
    }
    Ok(pending.migrations.len())
}

/// Applies all steps of a migration and records it, in one transaction.
async fn apply_at_once(client: &mut Client, migration: &Migration, steps: &[Step]) -> Result<(), SchemaError> {
    let retries = Retries::default();
    loop {
        match all_steps(client, migration, steps).await {
            Err(error) if is_locked(&error) => retries.pause().await?,
            outcome => return Ok(outcome?),
        }
    }
}

async fn all_steps(client: &mut Client, migration: &Migration, steps: &[Step]) -> Result<(), tokio_postgres::Error> {
    let transaction = begin(client).await?;
    for step in steps {
        match step {
            Step::Transaction(sql) => transaction.batch_execute(sql).await?,
            Step::Index(index) => transaction.batch_execute(&index.statement()).await?,
            Step::Batches(sql) => all_batches(&transaction, sql).await?,
        }
    }
    history::record(&transaction, migration).await?;
    transaction.commit().await
}

async fn all_batches(transaction: &Transaction<'_>, sql: &str) -> Result<(), tokio_postgres::Error> {
    let statement = transaction.prepare(sql).await?;
    let mut position: Option<String> = None;
    loop {
        position = transaction.query_one(&statement, &[&position, &ROWS_AT_ONCE]).await?.try_get("position")?;
        if position.is_none() {
            return Ok(());
        }
    }
}

/// Applies the steps of a migration that are not done yet, and records it at the end: new servers start only then.
async fn apply_in_steps(
    client: &mut Client,
    url: &PostgresUrl,
    migration: &Migration,
    steps: &[Step],
    report: Report<'_>,
) -> Result<(), SchemaError> {
    lock::release_for_refinery(client).await?;
    let mut done = history::begin(client, migration).await?;
    while let Some(step) = steps.get(done.steps) {
        let number = done.steps + 1;
        let progress = StepReport { report, migration: migration.to_string(), step: number, steps: steps.len() };
        match step {
            Step::Transaction(sql) => {
                progress.activity(CHANGING_TABLES);
                let retries = Retries::default();
                while let Err(error) = in_transaction(client, sql, migration, number).await {
                    if !is_locked(&error) {
                        return Err(error.into());
                    }
                    retries.pause().await?;
                }
            }
            Step::Index(index) => {
                index_build::build(client, url, index, &progress).await?;
                history::step_done(client, migration, number).await?;
            }
            Step::Batches(sql) => {
                batches::run(client, sql, migration, &mut done, &progress).await?;
                history::step_done(client, migration, number).await?;
            }
        }
        done = StepsDone { steps: number, ..StepsDone::default() };
    }
    Ok(history::complete(client, migration).await?)
}

/// Runs the statements of one step and records that it is done, in one transaction.
async fn in_transaction(
    client: &mut Client,
    sql: &str,
    migration: &Migration,
    step: usize,
) -> Result<(), tokio_postgres::Error> {
    let transaction = begin(client).await?;
    // First, because the locks of the statements are held until the end.
    history::step_done(&transaction, migration, step).await?;
    transaction.batch_execute(sql).await?;
    transaction.commit().await
}

/// Begins a transaction that gives way if it does not get a lock soon.
async fn begin(client: &mut Client) -> Result<Transaction<'_>, tokio_postgres::Error> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?;
    transaction.batch_execute(&format!("SET LOCAL lock_timeout = {}", LOCK_TIMEOUT.as_millis())).await?;
    Ok(transaction)
}
