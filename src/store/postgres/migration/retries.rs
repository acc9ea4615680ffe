//! Retries of a transaction that finds something locked.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;

use crate::store::postgres::error::SchemaError;

/// For how long a transaction is tried again.
const LIMIT: Duration = Duration::from_secs(30);

/// How long a migration lets the statements through that waited behind it, before it tries again.
const PAUSE: Duration = Duration::from_millis(500);

/// The retries of one transaction.
pub(super) struct Retries {
    deadline: Instant,
}

impl Default for Retries {
    fn default() -> Self {
        Self { deadline: Instant::now() + LIMIT }
    }
}

impl Retries {
    /// Waits before the next attempt.
    ///
    /// # Errors
    /// Returns [`SchemaError::Locked`] after half a minute of attempts.
    pub(super) async fn pause(&self) -> Result<(), SchemaError> {
        if Instant::now() >= self.deadline {
            return Err(SchemaError::Locked);
        }
        sleep(PAUSE).await;
        Ok(())
    }
}

/// Returns whether a transaction was rolled back because something stayed locked, so that it can be tried again.
pub(super) fn is_locked(error: &tokio_postgres::Error) -> bool {
    let codes = [&SqlState::LOCK_NOT_AVAILABLE, &SqlState::T_R_DEADLOCK_DETECTED];
    error.code().is_some_and(|code| codes.contains(&code))
}
