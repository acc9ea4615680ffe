//! The locks that let one migration run at a time.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::progress::{MigrationProgress, REPORT_INTERVAL, Report};
use crate::store::postgres::error::SchemaError;

/// The key of the advisory lock that excludes the migrations of Postern versions that use refinery's runner, which apply the
/// migrations up to [`LAST_OF_REFINERY`]: "postern" in ASCII.
const REFINERY_LOCK: i64 = 0x0070_6f73_7465_726e;

/// The key of the advisory lock that excludes other migrations of this runner: "postern", and 2.
const RUNNER_LOCK: i64 = 0x706f_7374_6572_6e02;

/// The last migration that a version of Postern with refinery's runner may apply.
pub(super) const LAST_OF_REFINERY: i32 = 5;

/// How long a migration waits for another one: longer than a million users take, even on a slow disk.
const LOCK_WAIT: Duration = Duration::from_hours(1);

/// How often a migration tries to get a lock.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

const LOCK_HOLDER: &str = include_str!("../../../../sql/postgres/queries/migration.lock_holder.sql");

/// Waits for the locks. They are released when the connection ends.
///
/// Polls, because a session that waits in `pg_advisory_lock` holds a snapshot, for which a concurrent index build of the holder
/// would wait.
///
/// # Errors
/// Returns [`SchemaError::Busy`] if another migration still runs after an hour.
pub(super) async fn lock(client: &Client, report: Report<'_>) -> Result<(), SchemaError> {
    let deadline = Instant::now() + LOCK_WAIT;
    wait_for(client, RUNNER_LOCK, deadline, report).await?;
    wait_for(client, REFINERY_LOCK, deadline, report).await
}

async fn wait_for(client: &Client, key: i64, deadline: Instant, report: Report<'_>) -> Result<(), SchemaError> {
    let mut reported = Instant::now();
    while !client.query_one("SELECT pg_try_advisory_lock($1)", &[&key]).await?.try_get::<_, bool>(0)? {
        if Instant::now() >= deadline {
            return Err(SchemaError::Busy);
        }
        if reported.elapsed() >= REPORT_INTERVAL {
            let holder = client.query_opt(LOCK_HOLDER, &[&key]).await?;
            let session = holder.map(|row| row.try_get("pid")).transpose()?;
            report(&MigrationProgress::WaitingForAnother { session });
            reported = Instant::now();
        }
        sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// Releases the lock that excludes versions with refinery's runner. Such a version waits in `pg_advisory_lock`, with a snapshot:
/// a concurrent index build would wait for it in a deadlock. With the lock, it finds no migration that it knows, and ends.
pub(super) async fn release_for_refinery(client: &Client) -> Result<(), SchemaError> {
    client.execute("SELECT pg_advisory_unlock($1)", &[&REFINERY_LOCK]).await?;
    Ok(())
}
