//! The access to Redis: a shared connection and a retry budget.

use std::{pin::pin, sync::Arc, time::Duration};

use redis::{RedisError, RedisResult, aio::MultiplexedConnection};
use tokio::time::timeout;

use super::{connector::RedisConnector, error::STORE, url::RedisUrl};
use crate::{
    metrics::PoolStats,
    reloading::FileWatch,
    store::{
        StoreError, TimeBudget,
        batch::REPLACE_AFTER,
        reconnect::{CallError, SharedConnection},
        retry_budget::RetryBudget,
    },
};

/// Sends commands over one multiplexed connection that all requests share.
///
/// A pool would cost an additional round trip per request, because it checks each connection before it hands it out. In
/// four runs on loopback, sharing one connection gave 1.9 to 2.0 times as many calls per second to one caller, 1.6 to
/// 3.0 times as many to 16 concurrent callers, and 2.9 to 4.3 times as many to 64 (`scripts/with-stores cargo bench
/// --bench redis_connection`).
pub(super) struct RedisAccess {
    connector: Arc<RedisConnector>,
    connection: SharedConnection<MultiplexedConnection>,
    retries: RetryBudget,
}

impl RedisAccess {
    /// Prepares the access to the Redis at this URL, without connecting yet.
    ///
    /// # Errors
    /// Returns [`StoreError::Unavailable`] if the URL cannot be used.
    pub(super) fn new(url: &RedisUrl) -> Result<Self, StoreError> {
        let connector = Arc::new(RedisConnector::new(url)?);
        let connecting = Arc::clone(&connector);
        Ok(Self {
            connector,
            connection: SharedConnection::new(move || Arc::clone(&connecting).connect()),
            retries: RetryBudget::default(),
        })
    }

    /// Makes an idempotent call, and retries it once, within the retry budget, if the connection broke.
    ///
    /// Idempotent means that making it twice leaves the same state. The result may differ: a session that the first
    /// call ended is not found by the second, so a reuse, or the number of ended sessions, is not reported.
    pub(super) async fn call_idempotent<T, F: Future<Output = RedisResult<T>>>(
        &self,
        call: impl Fn(MultiplexedConnection) -> F,
        time: &TimeBudget,
    ) -> Result<T, StoreError> {
        self.call_with_retry(call, None, time).await
    }

    /// Makes an idempotent call like [`Self::call_idempotent`]. If no call over its connection has had a response for
    /// [`REPLACE_AFTER`], the next calls use a new connection, while this one keeps waiting.
    pub(super) async fn call_for_batch<T, F: Future<Output = RedisResult<T>>>(
        &self,
        call: impl Fn(MultiplexedConnection) -> F,
        time: &TimeBudget,
    ) -> Result<T, StoreError> {
        self.call_with_retry(call, Some(REPLACE_AFTER), time).await
    }

    async fn call_with_retry<T, F: Future<Output = RedisResult<T>>>(
        &self,
        call: impl Fn(MultiplexedConnection) -> F,
        replace_after: Option<Duration>,
        time: &TimeBudget,
    ) -> Result<T, StoreError> {
        self.retries.deposit();
        let outcome = match self.attempt(&call, replace_after, time).await {
            Err(CallError::Connection(_)) if self.retries.withdraw() => self.attempt(&call, replace_after, time).await,
            outcome => outcome,
        };
        Ok(outcome?)
    }

    /// Makes a call that is not idempotent, without retries.
    pub(super) async fn call_once<T, F: Future<Output = RedisResult<T>>>(
        &self,
        call: impl Fn(MultiplexedConnection) -> F,
        time: &TimeBudget,
    ) -> Result<T, StoreError> {
        self.retries.deposit();
        Ok(self.attempt(&call, None, time).await?)
    }

    async fn attempt<T, F: Future<Output = RedisResult<T>>>(
        &self,
        call: &impl Fn(MultiplexedConnection) -> F,
        replace_after: Option<Duration>,
        time: &TimeBudget,
    ) -> Result<T, CallError> {
        let (mut used, responses) = (None, self.connection.responses());
        let run = async {
            let open = used.insert(self.connection.open().await?);
            let mut call = pin!(call(open.connection.clone()));
            if let Some(limit) = replace_after {
                let sent = self.connection.responses();
                match timeout(limit, call.as_mut()).await {
                    Ok(outcome) => return Ok(outcome),
                    Err(_) if self.connection.responses() == sent => drop(self.connection.invalidate(open)),
                    Err(_) => {}
                }
            }
            Ok(call.await)
        };
        let outcome = time.limit(STORE, run).await;
        let Some(open) = used else { return Err(CallError::Other(outcome.err().unwrap_or_else(no_connection))) };
        match outcome {
            Ok(Ok(response)) => {
                self.connection.record_response();
                Ok(response)
            }
            Ok(Err(error)) => {
                let (is_full, is_dropped) = (is_full_or_busy(&error), error.is_connection_dropped());
                let error = StoreError::from(error);
                // An outage may be a server that has become a replica, which still responds to a PING. Any other error is
                // about one call, and all calls share the connection.
                if error.is_outage() && !is_full {
                    self.connection.invalidate(&open);
                }
                Err(if is_dropped { CallError::Connection(error) } else { CallError::Other(error) })
            }
            Err(error) => {
                // No call got a response over it in that time, so the connection is probably dead.
                if self.connection.responses() == responses {
                    self.connection.invalidate(&open);
                }
                Err(CallError::Other(error))
            }
        }
    }

    /// Returns a watch that checks the file of the URL every ten seconds.
    pub(super) fn watch_url_file(&self) -> FileWatch {
        self.connector.watch_url_file()
    }

    /// Returns the current use of the one connection.
    pub(super) fn pool_stats(&self) -> PoolStats {
        let retries = self.retries.counts();
        PoolStats {
            idle: 0,
            in_use: usize::from(self.connection.is_open()),
            max: 1,
            waiting: self.connection.waiting(),
            retries,
        }
    }
}

/// Returns whether Redis is full, cannot save or is busy. Its connections can be used again.
fn is_full_or_busy(error: &RedisError) -> bool {
    matches!(error.code(), Some("OOM" | "MISCONF" | "BUSY"))
}

fn no_connection() -> StoreError {
    StoreError::unavailable(STORE, "no connection")
}
