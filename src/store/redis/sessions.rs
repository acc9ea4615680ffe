//! Sessions in Redis.

use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{
    error::STORE,
    scripts::milliseconds,
    session_keys::{index_key, session_key, session_key_prefix},
    session_record::{self, Record, read_time},
    store::RedisStore,
    user_agent,
};
use crate::{
    model::{
        FIRST_CURRENT, FIRST_NEXT, KeyTag, LiveSession, NewSession, REUSE_INTERVAL, RefreshOutcome, Rotation, Session,
        SessionId, User, UserId,
    },
    store::{
        LAST_USED_RESOLUTION, OTHER_EPOCH_GRACE, Opened, Refresh, RefreshAttempt, SessionStore, StoreError,
        StoreHealth, TimeBudget,
    },
};

/// The limit on recording that a session without an idle limit is used, for which no request waits.
const RECORD_USE_TIMEOUT: Duration = Duration::from_secs(1);

impl RedisStore {
    /// Runs the refresh script. Returns `None` if the deadline on the server's clock had passed.
    async fn try_refresh(&self, attempt: &RefreshAttempt, time: &TimeBudget) -> Result<Option<Refresh>, StoreError> {
        let RefreshAttempt { user, session, counter, rotation } = attempt;
        let mut invocation = self.session_scripts.refresh.prepare_invoke();
        invocation
            .key(session_key(user.id, *session))
            .key(index_key(user.id))
            .arg(self.offset_ms())
            .arg(session.to_string())
            .arg(*counter)
            .arg(user.epoch.0)
            .arg(id_or_empty(user.surviving_session))
            .arg(milliseconds(LAST_USED_RESOLUTION))
            .arg(match rotation {
                Rotation::Off => String::new(),
                Rotation::On(key) => key_number(*key).to_string(),
            })
            .arg(milliseconds(REUSE_INTERVAL))
            .arg(self.server_time.deadline_ms(time));
        let (now, label, fields): (u64, String, _) = self.run_idempotent(&invocation, time).await?;
        self.server_time.record(now);
        if label == "too_late" {
            return Ok(None);
        }
        let Some(fields) = fields else { return Ok(Some(Refresh::NotValid)) };
        let outcome = RefreshOutcome::ALL.into_iter().find(|outcome| outcome.label() == label);
        let outcome = outcome.ok_or_else(|| StoreError::corrupt(STORE, "unknown refresh outcome"))?;
        Ok(Some(Refresh::Decided(outcome, session_record::refreshed_session(user.id, *session, fields)?)))
    }
}

#[async_trait]
impl SessionStore for RedisStore {
    async fn open(&self, session: &NewSession, time: &TimeBudget) -> Result<Opened, StoreError> {
        let (user_agent, user_agent2) = user_agent::encode(session.client.user_agent.as_str());
        let mut invocation = self.session_scripts.open.prepare_invoke();
        invocation
            .key(session_key(session.user, session.id))
            .key(index_key(session.user))
            .arg(self.offset_ms())
            .arg(session_key_prefix(session.user))
            .arg(session.id.to_string())
            .arg(session.max_sessions)
            .arg(milliseconds(session.lifetime))
            .arg(session.idle.map_or(0, milliseconds))
            .arg(session.epoch.0)
            .arg(FIRST_CURRENT)
            .arg(FIRST_NEXT)
            .arg(key_number(session.next_key))
            .arg(session.client.address.to_string())
            .arg(user_agent)
            .arg(user_agent2)
            .arg(id_or_empty(session.surviving_session))
            .arg(session.valid_epoch.0)
            .arg(milliseconds(OTHER_EPOCH_GRACE));
        let (record, ended) = self.run_idempotent(&invocation, time).await?;
        Ok(Opened { session: session_record::session(session.user, session.id, record, None)?, ended })
    }

    async fn touch(
        &self,
        user: UserId,
        session: SessionId,
        time: &TimeBudget,
    ) -> Result<Option<LiveSession>, StoreError> {
        let Some(found) = self.session_reads.call((user, session), time).await? else { return Ok(None) };
        if found.must_record_use {
            if found.has_idle_limit {
                let is_stored = self.session_uses.call((user, session), time).await?;
                return Ok(is_stored.then_some(found.session));
            }
            self.session_uses.send_in_background((user, session), RECORD_USE_TIMEOUT);
        }
        Ok(Some(found.session))
    }

    async fn record_authentication(
        &self,
        user: UserId,
        session: SessionId,
        time: &TimeBudget,
    ) -> Result<Option<OffsetDateTime>, StoreError> {
        let mut invocation = self.session_scripts.record_authentication.prepare_invoke();
        invocation.key(session_key(user, session)).arg(self.offset_ms());
        let recorded: Option<i64> = self.run_idempotent(&invocation, time).await?;
        recorded.map(read_time).transpose()
    }

    async fn list(&self, user: UserId, time: &TimeBudget) -> Result<Vec<Session>, StoreError> {
        let mut invocation = self.session_scripts.list.prepare_invoke();
        invocation.key(index_key(user)).arg(self.offset_ms()).arg(session_key_prefix(user));
        let records: Vec<(String, Record, Option<i64>)> = self.run_idempotent(&invocation, time).await?;
        let session = |(id, record, authenticated): (String, Record, Option<i64>)| {
            let id = id.parse().map_err(|error| StoreError::corrupt(STORE, &error))?;
            session_record::session(user, SessionId(id), record, authenticated)
        };
        records.into_iter().map(session).collect()
    }

    async fn refresh(&self, attempt: &RefreshAttempt, time: &TimeBudget) -> Result<Refresh, StoreError> {
        if !attempt.user.is_active() {
            return Ok(Refresh::NotValid);
        }
        let mut result = self.try_refresh(attempt, time).await?;
        if result.is_none() {
            // The response came in time, so the server or its clock has changed since its time was last recorded.
            result = self.try_refresh(attempt, time).await?;
        }
        result.ok_or_else(|| StoreError::unavailable(STORE, "the refresh reached it too late"))
    }

    async fn end(&self, user: UserId, session: SessionId, time: &TimeBudget) -> Result<u64, StoreError> {
        let mut invocation = self.session_scripts.end.prepare_invoke();
        invocation.key(session_key(user, session)).key(index_key(user)).arg(self.offset_ms()).arg(session.to_string());
        self.run_idempotent(&invocation, time).await
    }

    async fn remove_ended(
        &self,
        former: &User,
        survivor: Option<SessionId>,
        time: &TimeBudget,
    ) -> Result<u64, StoreError> {
        let mut invocation = self.session_scripts.remove_ended.prepare_invoke();
        invocation
            .key(index_key(former.id))
            .arg(self.offset_ms())
            .arg(session_key_prefix(former.id))
            .arg(former.epoch.0)
            .arg(id_or_empty(former.surviving_session))
            .arg(id_or_empty(survivor));
        self.run_idempotent(&invocation, time).await
    }

    async fn ping(&self, time: &TimeBudget) -> Result<StoreHealth, StoreError> {
        let mut invocation = self.session_scripts.ping.prepare_invoke();
        invocation.key(index_key(UserId(uuid::Uuid::nil()))).arg(self.offset_ms());
        let (now, policy): (u64, Option<String>) = self.run_idempotent(&invocation, time).await?;
        self.server_time.record(now);
        Ok(StoreHealth { clock: read_time(now.cast_signed())?, warning: policy.as_deref().and_then(eviction_warning) })
    }
}

/// Returns a warning if Redis evicts keys when it is full.
fn eviction_warning(policy: &str) -> Option<String> {
    (policy != "noeviction").then(|| {
        format!("maxmemory-policy is {policy}: a full Redis evicts sessions and failed logins; set noeviction")
    })
}

fn id_or_empty(session: Option<SessionId>) -> String {
    session.map(|session| session.to_string()).unwrap_or_default()
}

fn key_number(key: KeyTag) -> u32 {
    u32::from_be_bytes(key.0)
}
