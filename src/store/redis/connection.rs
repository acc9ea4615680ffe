//! The connection that all requests share.

use std::sync::Arc;

use redis::{RedisError, ScriptInvocation, aio::MultiplexedConnection};

use super::attempt_scripts::AttemptScripts;
use super::session_scripts::SessionScripts;
use super::{connector::Connector, error::STORE, scripts::milliseconds, server_time::ServerTime, url::RedisUrl};
use crate::{
    clock::Clock,
    metrics::PoolStats,
    store::{
        StoreError, TimeBudget,
        reconnect::{CallError, SharedConnection},
        retry_budget::RetryBudget,
    },
};

/// Sessions and attempts in Redis, over one multiplexed connection that all requests share.
///
/// Checking one out of a pool for each request would cost a round trip more, since the pool asks each connection whether it
/// is alive: in four runs, sharing gave 1.9 to 2.0 times as many calls a second to one caller, 1.6 to 3.0 to 16 at once, and
/// 2.9 to 4.3 to 64 (`scripts/with-stores cargo bench --bench redis_connection`, on loopback).
pub struct RedisStore {
    shared: SharedConnection<MultiplexedConnection>,
    retries: RetryBudget,
    pub(super) session_scripts: SessionScripts,
    pub(super) attempt_scripts: AttemptScripts,
    clock: Arc<dyn Clock>,
    pub(super) server_time: ServerTime,
}

impl RedisStore {
    /// The Redis at this address; no connection is made yet. Redis tells the time, and `clock` adds how far
    /// a test has moved it.
    ///
    /// # Errors
    /// Where the address cannot be used.
    pub fn new(url: &RedisUrl, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let server = Arc::new(Connector::new(url)?);
        Ok(Self {
            shared: SharedConnection::new(move || Arc::clone(&server).connect()),
            retries: RetryBudget::default(),
            session_scripts: SessionScripts::new(),
            attempt_scripts: AttemptScripts::new(),
            clock,
            server_time: ServerTime::default(),
        })
    }

    /// Runs a script; once more, within the budget, where the connection turned out to be broken, which does no harm:
    /// each script leaves the same behind when it is run twice. What the first one has ended, though, the second one finds
    /// gone: nobody is told then of a theft, or of how many there were.
    pub(super) async fn run_idempotent<T: redis::FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
        time: &TimeBudget,
    ) -> Result<T, StoreError> {
        self.retries.deposit();
        let outcome = match self.attempt(invocation, time).await {
            Err(CallError::Connection(_)) if self.retries.withdraw() => self.attempt(invocation, time).await,
            outcome => outcome,
        };
        Ok(outcome?)
    }

    /// Runs a script that may take effect once only.
    pub(super) async fn run_once<T: redis::FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
        time: &TimeBudget,
    ) -> Result<T, StoreError> {
        self.retries.deposit();
        Ok(self.attempt(invocation, time).await?)
    }

    async fn attempt<T: redis::FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
        time: &TimeBudget,
    ) -> Result<T, CallError> {
        let (mut used, answers) = (None, self.shared.answers());
        let run = async {
            let open = used.insert(self.shared.open().await?);
            Ok(invocation.invoke_async(&mut open.connection).await)
        };
        let outcome = time.limit(STORE, run).await;
        let Some(open) = used else { return Err(CallError::Other(outcome.err().unwrap_or_else(no_connection))) };
        match outcome {
            Ok(Ok(answer)) => {
                self.shared.has_answered();
                Ok(answer)
            }
            Ok(Err(error)) => {
                if ends_connection(&error) {
                    self.shared.invalidate(&open);
                }
                let is_dropped = error.is_connection_dropped();
                Err(if is_dropped { CallError::Connection(error.into()) } else { CallError::Other(error.into()) })
            }
            Err(error) => {
                // Nothing has come over it in that time for anybody: it leads nowhere.
                if self.shared.answers() == answers {
                    self.shared.invalidate(&open);
                }
                Err(CallError::Other(error))
            }
        }
    }

    /// How far a test has moved the clock.
    pub(super) fn offset_ms(&self) -> u64 {
        milliseconds(self.clock.offset())
    }

    /// How the one connection is used now: as long as it is there, all requests share it.
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        let retries = self.retries.counts();
        PoolStats {
            idle: 0,
            in_use: usize::from(self.shared.is_open()),
            max: 1,
            waiting: self.shared.waiting(),
            retries,
        }
    }
}

/// Whether a connection that has brought this error is not to be used again. It is, where Redis has answered that it takes
/// no writes or is at work; all else may be said by a server that has become a replica, and answers a PING all the same.
fn ends_connection(error: &RedisError) -> bool {
    !matches!(error.code(), Some("OOM" | "MISCONF" | "BUSY"))
}

fn no_connection() -> StoreError {
    StoreError::unavailable(STORE, "no connection")
}
