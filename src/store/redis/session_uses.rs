//! Records that sessions are used, in pipelines.

use std::sync::Arc;

use redis::{ErrorKind, Pipeline, RedisResult, Script, ServerErrorKind, aio::MultiplexedConnection};
use tracing::debug;

use super::{
    access::RedisAccess,
    error::STORE,
    scripts::{SESSION_RECORD_USE, milliseconds},
    session_keys::session_key,
};
use crate::{
    clock::Clock,
    model::{SessionId, UserId},
    store::{LAST_USED_RESOLUTION, StoreError, TimeBudget, batch::RoundTrip},
};

/// One pipeline of scripts for many sessions. Each returns whether its session is stored.
pub(super) struct SessionUses {
    access: Arc<RedisAccess>,
    clock: Arc<dyn Clock>,
    script: Script,
}

impl SessionUses {
    pub(super) fn new(access: Arc<RedisAccess>, clock: Arc<dyn Clock>) -> Self {
        Self { access, clock, script: SESSION_RECORD_USE.script() }
    }

    fn pipeline(&self, keys: &[(UserId, SessionId)]) -> Pipeline {
        let (offset, resolution) = (milliseconds(self.clock.offset()), milliseconds(LAST_USED_RESOLUTION));
        let mut pipeline = Pipeline::with_capacity(keys.len());
        pipeline.ignore_errors();
        for (user, session) in keys {
            let key = session_key(*user, *session);
            pipeline.cmd("EVALSHA").arg(self.script.get_hash()).arg(1).arg(key).arg(offset).arg(resolution);
        }
        pipeline
    }
}

impl RoundTrip for SessionUses {
    type Key = (UserId, SessionId);
    type Value = bool;

    const STORE: &'static str = STORE;

    async fn send(
        &self,
        keys: &[(UserId, SessionId)],
        time: &TimeBudget,
    ) -> Result<Vec<Result<bool, StoreError>>, StoreError> {
        let pipeline = self.pipeline(keys);
        let sent = self.access.call_for_batch(|redis| run(&self.script, &pipeline, redis), time).await;
        let responses = sent.inspect_err(|error| debug!(%error, "failed to record the use of sessions"))?;
        let outcome = |response: RedisResult<bool>| {
            let outcome = response.map_err(StoreError::from);
            outcome.inspect_err(|error| debug!(%error, "failed to record the use of a session"))
        };
        Ok(responses.into_iter().map(outcome).collect())
    }
}

/// Runs the scripts. If the server does not have the script, loads it and runs them again.
async fn run(
    script: &Script,
    pipeline: &Pipeline,
    mut redis: MultiplexedConnection,
) -> RedisResult<Vec<RedisResult<bool>>> {
    let responses: Vec<RedisResult<bool>> = pipeline.query_async(&mut redis).await?;
    let is_missing = |response: &RedisResult<bool>| {
        response.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
    };
    if !responses.iter().any(is_missing) {
        return Ok(responses);
    }
    script.prepare_invoke().load_async(&mut redis).await?;
    pipeline.query_async(&mut redis).await
}
