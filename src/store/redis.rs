//! Sessions in Redis.
//!
//! A session is the hash `session:{<user id>}:<session id>` with a TTL; `sessions:{<user id>}` is a sorted set of a user's
//! session ids by expiry, for listing and pruning only. The braces put all of a user's keys into one slot of a cluster, so
//! that each operation is one script. A session stores its own expiry, and that decides; the TTL tidies up.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use deadpool_redis::{Connection, Manager, Pool, Runtime};
use redis::{AsyncConnectionConfig, ConnectionInfo, IntoConnectionInfo as _, RedisError, Script, ScriptInvocation};
use time::OffsetDateTime;

use super::{LAST_USED_RESOLUTION, Refresh, RefreshAttempt, Sessions, StoreError, StoreTime};
use crate::{
    accounts::{Client, Epoch, FIRST_HELD, FIRST_SUCCESSOR, KeyTag, NewSession, Session, SessionId, UserId},
    clock::{Clock, from_unix_ms},
};

const STORE: &str = "Redis";

/// The most connections at once: one is in use, the others are on their way in or out.
const MAX_CONNECTIONS: usize = 4;

/// How long a connection may take to be made, at the most; a request's own time usually ends before.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Where Redis is, and how to log in there. It cannot be printed whole: what is shown leaves out user and password.
#[derive(Clone)]
pub struct RedisUrl(ConnectionInfo);

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_url =
            ["redis://", "rediss://", "redis+unix://", "unix://"].iter().any(|scheme| text.starts_with(scheme));
        let info = text.into_connection_info().ok().filter(|_| is_url);
        info.map(Self).ok_or_else(|| "redis://user:password@host:6379/0, or rediss://… for TLS".to_owned())
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "redis://{}/{}", self.0.addr(), self.0.redis_settings().db())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Sessions in Redis, over one multiplexed connection that all requests share.
pub struct RedisSessions {
    pool: Pool,
    shared: Mutex<Option<Arc<Connection>>>,
    /// Held by the one caller that is making a new connection.
    connecting: tokio::sync::Mutex<()>,
    scripts: Scripts,
    clock: Arc<dyn Clock>,
}

struct Scripts {
    open: Script,
    find: Script,
    refresh: Script,
    end: Script,
    end_others: Script,
}

impl RedisSessions {
    /// Sessions in the Redis at this address; no connection is made yet. Redis tells the time, and `clock` adds how far
    /// a test has moved it.
    ///
    /// # Errors
    /// Where the address cannot be used.
    pub fn new(url: &RedisUrl, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        // The time of the request limits each response; see `run`.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECTION_TIMEOUT)).set_response_timeout(None);
        let manager = Manager::new_with_config(url.0.clone(), config).map_err(StoreError::from)?;
        let pool = Pool::builder(manager).max_size(MAX_CONNECTIONS).runtime(Runtime::Tokio1).build();
        let scripts = Scripts {
            open: Script::new(include_str!("session.open.lua")),
            find: Script::new(include_str!("session.find.lua")),
            refresh: Script::new(include_str!("session.refresh.lua")),
            end: Script::new(include_str!("session.end.lua")),
            end_others: Script::new(include_str!("session.end_others.lua")),
        };
        let pool = pool.map_err(|error| StoreError::unavailable(STORE, &error))?;
        Ok(Self { pool, shared: Mutex::new(None), connecting: tokio::sync::Mutex::new(()), scripts, clock })
    }

    /// Runs a script; once more where the connection turned out to be broken, which does no harm: each script leaves the
    /// same behind when it is run twice.
    async fn run<T: redis::FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
        time: &StoreTime,
    ) -> Result<T, StoreError> {
        let outcome = match self.attempt(invocation, time).await {
            Err(Broken::Connection(_)) => self.attempt(invocation, time).await,
            outcome => outcome,
        };
        outcome.map_err(|broken| match broken {
            Broken::Connection(error) | Broken::Other(error) => error,
        })
    }

    async fn attempt<T: redis::FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
        time: &StoreTime,
    ) -> Result<T, Broken> {
        let connection = time.limit(STORE, self.connection()).await.map_err(Broken::Other)?;
        let mut is_broken = false;
        let run = async {
            let outcome = invocation.invoke_async(&mut (**connection).clone()).await;
            is_broken = outcome.as_ref().is_err_and(RedisError::is_connection_dropped);
            outcome.map_err(StoreError::from)
        };
        let outcome = time.limit(STORE, run).await;
        if outcome.is_err() {
            self.discard(&connection);
        }
        outcome.map_err(|error| if is_broken { Broken::Connection(error) } else { Broken::Other(error) })
    }

    /// The connection that all requests share. Checking one out of the pool for each request would cost a round trip
    /// more, since the pool asks each connection whether it is alive: sharing gives 2.0 times as many calls a second to
    /// one caller, 1.6 to 16 at once, 3 to 64 (`scripts/with-stores cargo bench --bench redis_connection`, on loopback).
    async fn connection(&self) -> Result<Arc<Connection>, StoreError> {
        if let Some(connection) = self.shared().clone() {
            return Ok(connection);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(connection) = self.shared().clone() {
            return Ok(connection);
        }
        let fresh = self.pool.get().await.map_err(|error| StoreError::unavailable(STORE, &error))?;
        Ok(Arc::clone(self.shared().insert(Arc::new(fresh))))
    }

    /// Gives a connection back to the pool, which finds out whether it is alive before it hands it out again.
    fn discard(&self, used: &Arc<Connection>) {
        let mut shared = self.shared();
        if shared.as_ref().is_some_and(|current| Arc::ptr_eq(current, used)) {
            *shared = None;
        }
    }

    fn shared(&self) -> MutexGuard<'_, Option<Arc<Connection>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ahead_ms(&self) -> u64 {
        u64::try_from(self.clock.ahead().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Why a script did not run.
enum Broken {
    /// The connection was no more.
    Connection(StoreError),
    /// Anything else.
    Other(StoreError),
}

#[async_trait]
impl Sessions for RedisSessions {
    async fn open(&self, session: &NewSession, time: &StoreTime) -> Result<Session, StoreError> {
        let mut invocation = self.scripts.open.prepare_invoke();
        invocation
            .key(session_key(session.user, session.id))
            .key(index_key(session.user))
            .arg(self.ahead_ms())
            .arg(u64::try_from(session.lifetime.as_millis()).unwrap_or(u64::MAX))
            .arg(session.id.to_string())
            .arg(session.epoch.0)
            .arg(FIRST_HELD)
            .arg(FIRST_SUCCESSOR)
            .arg(u32::from_be_bytes(session.successor_key.0))
            .arg(session.client.address.to_string())
            .arg(&session.client.user_agent);
        let record = self.run(&invocation, time).await?;
        read(session.user, session.id, record)
    }

    async fn find(&self, user: UserId, session: SessionId, time: &StoreTime) -> Result<Option<Session>, StoreError> {
        let mut invocation = self.scripts.find.prepare_invoke();
        invocation.key(session_key(user, session)).arg(self.ahead_ms());
        let record: Option<Record> = self.run(&invocation, time).await?;
        record.map(|record| read(user, session, record)).transpose()
    }

    async fn refresh(&self, attempt: &RefreshAttempt, time: &StoreTime) -> Result<Refresh, StoreError> {
        let RefreshAttempt { user, session, counter } = attempt;
        if !user.is_active() {
            return Ok(Refresh::NotInForce);
        }
        let mut invocation = self.scripts.refresh.prepare_invoke();
        invocation
            .key(session_key(user.id, *session))
            .arg(self.ahead_ms())
            .arg(session.to_string())
            .arg(*counter)
            .arg(user.epoch.0)
            .arg(user.kept_session.map(|kept| kept.to_string()).unwrap_or_default())
            .arg(u64::try_from(LAST_USED_RESOLUTION.as_millis()).unwrap_or(u64::MAX));
        let (verdict, record): (String, Option<Record>) = self.run(&invocation, time).await?;
        match (verdict.as_str(), record) {
            ("granted", Some(record)) => Ok(Refresh::Granted(read(user.id, *session, record)?)),
            ("not in force", None) => Ok(Refresh::NotInForce),
            ("replaced", None) => Ok(Refresh::Replaced),
            _ => Err(StoreError::corrupt(STORE, "an unknown verdict")),
        }
    }

    async fn end(&self, user: UserId, session: SessionId, time: &StoreTime) -> Result<(), StoreError> {
        let mut invocation = self.scripts.end.prepare_invoke();
        invocation.key(session_key(user, session)).key(index_key(user)).arg(session.to_string());
        self.run(&invocation, time).await
    }

    async fn end_others(&self, user: UserId, kept: SessionId, time: &StoreTime) -> Result<(), StoreError> {
        let mut invocation = self.scripts.end_others.prepare_invoke();
        invocation.key(index_key(user)).arg(session_key_prefix(user)).arg(kept.to_string());
        self.run(&invocation, time).await
    }

    async fn ping(&self, time: &StoreTime) -> Result<(), StoreError> {
        let nobody = UserId(uuid::Uuid::nil());
        self.find(nobody, SessionId(uuid::Uuid::nil()), time).await.map(drop)
    }
}

fn session_key_prefix(user: UserId) -> String {
    format!("session:{{{user}}}:")
}

fn session_key(user: UserId, session: SessionId) -> String {
    format!("session:{{{user}}}:{session}")
}

fn index_key(user: UserId) -> String {
    format!("sessions:{{{user}}}")
}

/// epoch, held, successor, `successor_key`, rotated, created, expires, `last_used`, address, user agent
type Record = (i64, u64, u64, u32, i64, i64, i64, i64, String, String);

fn read(user: UserId, id: SessionId, record: Record) -> Result<Session, StoreError> {
    let (epoch, held, successor, successor_key, rotated, created, expires, last_used, address, user_agent) = record;
    Ok(Session {
        id,
        user,
        epoch: Epoch(epoch),
        held,
        successor,
        successor_key: KeyTag(successor_key.to_be_bytes()),
        rotated: read_time(rotated)?,
        created: read_time(created)?,
        expires: read_time(expires)?,
        last_used: read_time(last_used)?,
        client: Client { address: address.parse().map_err(|error| StoreError::corrupt(STORE, &error))?, user_agent },
    })
}

fn read_time(milliseconds: i64) -> Result<OffsetDateTime, StoreError> {
    from_unix_ms(milliseconds).ok_or_else(|| StoreError::corrupt(STORE, "a time out of range"))
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        Self::unavailable(STORE, &error)
    }
}
