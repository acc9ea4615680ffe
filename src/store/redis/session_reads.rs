//! Look-ups of sessions, which share pipelines.

use std::sync::Arc;

use redis::{Pipeline, RedisError, RedisResult, Script, Value, aio::MultiplexedConnection};
use uuid::Uuid;

use super::{
    access::RedisAccess,
    error::STORE,
    scripts::{SESSION_CHECK_PRIMARY, milliseconds},
    server_time::ServerTime,
    session_keys::{index_key, session_key},
    session_record::read_time,
};
use crate::{
    clock::Clock,
    model::{Epoch, LiveSession, SessionId, UserId},
    store::{LAST_USED_RESOLUTION, StoreError, TimeBudget, batch::RoundTrip},
};

/// The fields that decide whether a request is accepted. `session.lua` writes them.
const FIELDS: [&str; 6] = ["epoch", "created", "expires", "last_used", "idle", "authenticated"];

/// One pipeline of plain reads for many sessions: the server's time, the fields of each session, and last a write that
/// changes nothing.
///
/// That write fails if the server's data may be stale, because it has become a replica or lacks the replicas that it
/// requires. It comes last: a server that still accepts it was the primary when it read. A server that is full or cannot
/// save rejects it too, but still has all data. Redis reports these two causes first, so a script then checks the others.
pub(super) struct SessionReads {
    access: Arc<RedisAccess>,
    clock: Arc<dyn Clock>,
    server_time: Arc<ServerTime>,
    check_primary: Script,
}

/// A session that was found.
#[derive(Debug, Clone)]
pub(super) struct FoundSession {
    pub session: LiveSession,
    /// Whether its recorded use is at least [`LAST_USED_RESOLUTION`] ago.
    pub must_record_use: bool,
    /// Whether the session ends when it is unused.
    pub has_idle_limit: bool,
}

impl SessionReads {
    pub(super) fn new(access: Arc<RedisAccess>, clock: Arc<dyn Clock>, server_time: Arc<ServerTime>) -> Self {
        Self { access, clock, server_time, check_primary: SESSION_CHECK_PRIMARY.script() }
    }
}

impl RoundTrip for SessionReads {
    type Key = (UserId, SessionId);
    type Value = Option<FoundSession>;

    const STORE: &'static str = STORE;

    async fn send(
        &self,
        keys: &[(UserId, SessionId)],
        time: &TimeBudget,
    ) -> Result<Vec<Result<Option<FoundSession>, StoreError>>, StoreError> {
        let pipeline = pipeline(keys);
        let (now, records) =
            self.access.call_for_batch(|redis| read(&pipeline, &self.check_primary, redis), time).await?;
        self.server_time.record(now);
        let now = now.saturating_add(milliseconds(self.clock.offset()));
        let found = keys.iter().zip(records).map(|((user, id), fields)| find(*user, *id, fields, now.cast_signed()));
        Ok(found.collect())
    }
}

fn pipeline(keys: &[(UserId, SessionId)]) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(keys.len() + 2);
    pipeline.ignore_errors().cmd("TIME");
    let mut last = String::new();
    for (user, session) in keys {
        last = session_key(*user, *session);
        pipeline.cmd("HMGET").arg(&last).arg(&FIELDS);
    }
    last.push(':');
    pipeline.cmd("SETRANGE").arg(last).arg(0).arg("");
    pipeline
}

/// Returns the server's time in milliseconds since 1970, and the response to each read.
async fn read(
    pipeline: &Pipeline,
    check_primary: &Script,
    mut redis: MultiplexedConnection,
) -> RedisResult<(u64, Vec<Value>)> {
    let mut responses: Vec<Value> = pipeline.query_async(&mut redis).await?;
    if let Some(Value::ServerError(error)) = responses.pop() {
        if !matches!(error.code(), "OOM" | "MISCONF") {
            return Err(error.into());
        }
        let () = check_primary.key(index_key(UserId(Uuid::nil()))).arg(0).invoke_async(&mut redis).await?;
    }
    let records = responses.split_off(1);
    if let Some(Value::ServerError(error)) = responses.first() {
        return Err(error.clone().into());
    }
    let (seconds, microseconds): (u64, u64) = redis::from_redis_value(Value::Array(responses)).map(|(time,)| time)?;
    Ok((seconds * 1000 + microseconds / 1000, records))
}

/// Returns a session from the fields of its hash, unless it has ended, expired, or exceeded its idle limit.
fn find(user: UserId, id: SessionId, fields: Value, now: i64) -> Result<Option<FoundSession>, StoreError> {
    let fields: [Option<i64>; FIELDS.len()] = match fields {
        Value::ServerError(error) => return Err(RedisError::from(error).into()),
        fields => redis::from_redis_value(fields).map_err(|error| StoreError::corrupt(STORE, &error))?,
    };
    let [epoch, created, expires, last_used, idle, authenticated] = fields;
    if expires.is_none_or(|expires| expires <= now) {
        return Ok(None);
    }
    let (Some(epoch), Some(created), Some(last_used)) = (epoch, created, last_used) else {
        return Err(StoreError::corrupt(STORE, "a session without epoch, creation or last use"));
    };
    // A session that an earlier version opened has no `idle`.
    let idle = idle.filter(|idle| *idle > 0);
    if idle.is_some_and(|idle| last_used.saturating_add(idle) <= now) {
        return Ok(None);
    }
    let must_record_use = now.saturating_sub(last_used) >= milliseconds(LAST_USED_RESOLUTION).cast_signed();
    let last_used = read_time(if must_record_use { now } else { last_used })?;
    let authenticated = read_time(authenticated.unwrap_or(created))?;
    Ok(Some(FoundSession {
        session: LiveSession { id, user, epoch: Epoch(epoch), last_used, authenticated },
        must_record_use,
        has_idle_limit: idle.is_some(),
    }))
}
