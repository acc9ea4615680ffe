//! The store, and how it runs scripts.

use std::sync::Arc;

use redis::ScriptInvocation;

use super::{
    access::RedisAccess, attempt_scripts::AttemptScripts, attempt_shards::AttemptShards, scripts::milliseconds,
    server_time::ServerTime, session_reads::SessionReads, session_scripts::SessionScripts, session_uses::SessionUses,
    url::RedisUrl,
};
use crate::{
    clock::Clock,
    metrics::PoolStats,
    reloading::FileWatch,
    store::{StoreError, TimeBudget, batch::Batcher},
};

/// How many pipelines of session reads are under way at once. With two, one is written while Redis works on the other.
const READ_LANES: usize = 2;

/// Sessions and attempts in Redis.
pub struct RedisStore {
    access: Arc<RedisAccess>,
    pub(super) session_reads: Batcher<SessionReads>,
    pub(super) session_uses: Batcher<SessionUses>,
    pub(super) session_scripts: SessionScripts,
    pub(super) attempt_scripts: AttemptScripts,
    pub(super) attempt_shards: AttemptShards,
    clock: Arc<dyn Clock>,
    pub(super) server_time: Arc<ServerTime>,
}

impl RedisStore {
    /// Creates a store for the Redis at this URL, without connecting yet. The time is that of Redis plus the offset of
    /// `clock`.
    ///
    /// # Errors
    /// Returns [`StoreError::Unavailable`] if the URL cannot be used.
    pub fn new(url: &RedisUrl, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let (access, server_time) = (Arc::new(RedisAccess::new(url)?), Arc::new(ServerTime::default()));
        let reads = SessionReads::new(Arc::clone(&access), Arc::clone(&clock), Arc::clone(&server_time));
        let uses = SessionUses::new(Arc::clone(&access), Arc::clone(&clock));
        Ok(Self {
            access,
            session_reads: Batcher::new(reads, READ_LANES),
            session_uses: Batcher::new(uses, 1),
            session_scripts: SessionScripts::new(),
            attempt_scripts: AttemptScripts::new(),
            attempt_shards: AttemptShards::default(),
            clock,
            server_time,
        })
    }

    /// Runs an idempotent script, and retries it once, within the retry budget, if the connection broke. See
    /// [`RedisAccess::call_idempotent`].
    pub(super) async fn run_idempotent<T: redis::FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
        time: &TimeBudget,
    ) -> Result<T, StoreError> {
        self.access.call_idempotent(async |mut redis| invocation.invoke_async(&mut redis).await, time).await
    }

    /// Runs a script that is not idempotent, without retries.
    pub(super) async fn run_once<T: redis::FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
        time: &TimeBudget,
    ) -> Result<T, StoreError> {
        self.access.call_once(async |mut redis| invocation.invoke_async(&mut redis).await, time).await
    }

    /// Returns the offset of the clock, which is zero except in tests.
    pub(super) fn offset_ms(&self) -> u64 {
        milliseconds(self.clock.offset())
    }

    /// Returns a watch that checks the file of the URL every ten seconds.
    #[must_use]
    pub fn watch_url_file(&self) -> FileWatch {
        self.access.watch_url_file()
    }

    /// Returns the current use of the one connection.
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        let stats = self.access.pool_stats();
        PoolStats { waiting: stats.waiting + self.session_reads.waiting() + self.session_uses.waiting(), ..stats }
    }
}
