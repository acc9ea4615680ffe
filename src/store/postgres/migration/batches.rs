//! Changes the rows of a table in batches, each a short transaction.

use std::time::Duration;

use refinery::Migration;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, Error, IsolationLevel, Statement, error::SqlState};

use super::{
    history::{self, StepsDone},
    progress::{REPORT_INTERVAL, StepReport},
    retries::{Retries, is_locked},
};
use crate::store::postgres::error::SchemaError;

/// The rows of the first batch.
const FIRST_ROWS: i64 = 500;

/// The most rows of a batch.
const MAX_ROWS: i64 = 10_000;

/// The time that a batch should take. Writes of its rows wait for as long.
const TARGET: Duration = Duration::from_millis(100);

/// The time after which PostgreSQL cancels a statement of a batch, in milliseconds.
const TIMEOUT_MS: u64 = 400;

/// The share of the time in which no batch runs, so that requests find a PostgreSQL with some capacity left: a quarter.
const PAUSE_DIVISOR: u32 = 3;

/// Repeats a statement until it has had all rows. Continues after the last batch of an interrupted migration.
///
/// # Errors
/// Returns [`SchemaError::Locked`] if rows stay locked, or another [`SchemaError`] if a batch fails.
pub(super) async fn run(
    client: &mut Client,
    sql: &str,
    migration: &Migration,
    done: &mut StepsDone,
    report: &StepReport<'_>,
) -> Result<(), SchemaError> {
    let statement = client.prepare(sql).await?;
    let (mut limit, mut reported) = (FIRST_ROWS, Instant::now());
    let mut retries = Retries::default();
    report.activity(format!("changing rows in batches, after {} rows", done.rows));
    loop {
        let started = Instant::now();
        match batch(client, &statement, limit, migration, done).await {
            Ok(None) => return Ok(()),
            Ok(Some(batch)) => *done = batch,
            Err(error) if is_locked(&error) || is_timeout(&error) => {
                limit = (limit / 4).max(1);
                retries.pause().await?;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        retries = Retries::default();
        let duration = started.elapsed();
        limit = next_limit(limit, duration);
        if reported.elapsed() >= REPORT_INTERVAL {
            report.activity(format!("changing rows in batches, after {} rows", done.rows));
            reported = Instant::now();
        }
        sleep(duration / PAUSE_DIVISOR).await;
    }
}

/// Changes the rows after a position, and returns the next position, or `None` if there was no row.
async fn batch(
    client: &mut Client,
    statement: &Statement,
    limit: i64,
    migration: &Migration,
    done: &StepsDone,
) -> Result<Option<StepsDone>, Error> {
    // In this isolation level, a row that waited for its lock is the latest one, and triggers see rows committed meanwhile.
    let transaction = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?;
    transaction.batch_execute(&format!("SET LOCAL statement_timeout = {TIMEOUT_MS}")).await?;
    let row = transaction.query_one(statement, &[&done.position, &limit]).await?;
    let Some(position) = row.try_get::<_, Option<String>>("position")? else { return Ok(None) };
    let rows = done.rows + row.try_get::<_, i64>("rows")?;
    history::batch_done(&transaction, migration, (&position, rows)).await?;
    transaction.commit().await?;
    Ok(Some(StepsDone { steps: done.steps, position: Some(position), rows }))
}

/// Returns whether a batch took too long, also because a row stayed locked.
fn is_timeout(error: &Error) -> bool {
    error.code() == Some(&SqlState::QUERY_CANCELED)
}

/// Returns how many rows the next batch may have, after one that took a time.
fn next_limit(limit: i64, duration: Duration) -> i64 {
    if duration < TARGET / 2 {
        (limit * 2).min(MAX_ROWS)
    } else if duration > TARGET {
        (limit / 2).max(1)
    } else {
        limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_adapt_to_the_time_that_they_take() {
        assert_eq!(next_limit(500, Duration::from_millis(20)), 1000);
        assert_eq!(next_limit(MAX_ROWS, Duration::from_millis(20)), MAX_ROWS);
        assert_eq!(next_limit(500, Duration::from_millis(80)), 500);
        assert_eq!(next_limit(500, Duration::from_millis(300)), 250);
        assert_eq!(next_limit(1, Duration::from_secs(3)), 1);
    }
}
