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
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisError, Script,
    ScriptInvocation, aio::MultiplexedConnection,
};
use time::OffsetDateTime;

use super::{LAST_USED_RESOLUTION, Opened, Refresh, RefreshAttempt, Sessions, StoreError, StoreTime};
use crate::{
    accounts::{
        Client, Epoch, FIRST_HELD, FIRST_SUCCESSOR, KeyTag, NewSession, Presentation, Rotation, SHARED_FOR, Session,
        SessionId, UserId,
    },
    clock::{Clock, from_unix_ms},
    metrics::PoolUse,
};

const STORE: &str = "Redis";

/// How long a connection may take to be made. Requests wait for it no longer than their own time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

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
        let is_encrypted = matches!(self.0.addr(), ConnectionAddr::TcpTls { .. });
        let scheme = if is_encrypted { "rediss" } else { "redis" };
        write!(formatter, "{scheme}://{}/{}", self.0.addr(), self.0.redis_settings().db())
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
    /// The connection in use, or the attempt to make one.
    current: Mutex<Option<Connecting>>,
    scripts: Scripts,
    clock: Arc<dyn Clock>,
}

/// A connection, or what came of the attempt to make it, for everybody who waits for it.
type Connecting = Shared<BoxFuture<'static, Result<MultiplexedConnection, StoreError>>>;

struct Scripts {
    open: Script,
    resume: Script,
    list: Script,
    refresh: Script,
    end: Script,
    end_all: Script,
}

/// A script, behind what every one of them begins with.
fn script(text: &str) -> Script {
    Script::new(&[include_str!("session.lua"), text].concat())
}

impl RedisSessions {
    /// Sessions in the Redis at this address; no connection is made yet. Redis tells the time, and `clock` adds how far
    /// a test has moved it.
    ///
    /// # Errors
    /// Where the address cannot be used.
    pub fn new(url: &RedisUrl, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        // The time of the request limits each response; see `attempt`.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let manager = Manager::new_with_config(url.0.clone(), config).map_err(StoreError::from)?;
        let pool = Pool::builder(manager).create_timeout(Some(CONNECT_TIMEOUT)).runtime(Runtime::Tokio1).build();
        let scripts = Scripts {
            open: script(include_str!("session.open.lua")),
            resume: script(include_str!("session.resume.lua")),
            list: script(include_str!("session.list.lua")),
            refresh: script(include_str!("session.refresh.lua")),
            end: script(include_str!("session.end.lua")),
            end_all: script(include_str!("session.end_all.lua")),
        };
        let pool = pool.map_err(|error| StoreError::unavailable(STORE, &error))?;
        Ok(Self { pool, current: Mutex::new(None), scripts, clock })
    }

    /// Runs a script; once more where the connection could not be made or turned out to be broken, which does no harm:
    /// each script leaves the same behind when it is run twice.
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
        let connecting = self.connecting();
        let (mut has_begun, mut is_broken) = (false, true);
        let run = async {
            has_begun = true;
            // One that fails may have begun long ago, before Redis came back.
            let mut connection = connecting.clone().await?;
            let outcome = invocation.invoke_async(&mut connection).await;
            is_broken = outcome.as_ref().is_err_and(RedisError::is_connection_dropped);
            Ok(outcome?)
        };
        let outcome = time.limit(STORE, run).await;
        // Never used again, whatever the error: behind a connection that answers a PING may be a server that has become
        // a replica. But an attempt that is still under way goes on for those who come later, and a call that had no time
        // left has said nothing about the connection.
        if outcome.is_err() && has_begun && connecting.peek().is_some() {
            self.discard(&connecting);
        }
        let is_worth_repeating = has_begun && is_broken;
        outcome.map_err(|error| if is_worth_repeating { Broken::Connection(error) } else { Broken::Other(error) })
    }

    /// The connection that all requests share. Checking one out of the pool for each request would cost a round trip
    /// more, since the pool asks each connection whether it is alive: in four runs, sharing gave 1.9 to 2.0 times as many
    /// calls a second to one caller, 1.6 to 3.0 to 16 at once, and 2.9 to 4.3 to 64
    /// (`scripts/with-stores cargo bench --bench redis_connection`, on loopback).
    ///
    /// It is made by a task of its own: a request that has less time left than that takes would only ever begin.
    fn connecting(&self) -> Connecting {
        let connect = || {
            let pool = self.pool.clone();
            let task = tokio::spawn(async move { pool.get().await.map(Connection::take) });
            let connecting = async {
                let made = task.await.map_err(|error| StoreError::unavailable(STORE, &error))?;
                made.map_err(|error| StoreError::unavailable(STORE, &error))
            };
            connecting.boxed().shared()
        };
        self.current().get_or_insert_with(connect).clone()
    }

    fn discard(&self, used: &Connecting) {
        let mut current = self.current();
        if current.as_ref().is_some_and(|current| current.ptr_eq(used)) {
            *current = None;
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Connecting>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the one connection is used now: as long as it is there, all requests share it.
    #[must_use]
    pub fn pool_use(&self) -> PoolUse {
        let current = self.current();
        let is_open = current.as_ref().and_then(Shared::peek).is_some_and(Result::is_ok);
        let being_made = current.as_ref().filter(|connecting| connecting.peek().is_none());
        // All but the one that is kept here are somebody's who waits.
        let waiting = being_made.and_then(Shared::strong_count).map_or(0, |holders| holders.saturating_sub(1));
        PoolUse { idle: 0, in_use: usize::from(is_open), max: 1, waiting }
    }

    fn ahead_ms(&self) -> u64 {
        milliseconds(self.clock.ahead())
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
    async fn open(&self, session: &NewSession, time: &StoreTime) -> Result<Opened, StoreError> {
        let mut invocation = self.scripts.open.prepare_invoke();
        invocation
            .key(session_key(session.user, session.id))
            .key(index_key(session.user))
            .arg(self.ahead_ms())
            .arg(session_key_prefix(session.user))
            .arg(session.id.to_string())
            .arg(session.max_sessions)
            .arg(milliseconds(session.lifetime))
            .arg(session.idle.map_or(0, milliseconds))
            .arg(session.epoch.0)
            .arg(FIRST_HELD)
            .arg(FIRST_SUCCESSOR)
            .arg(key_number(session.successor_key))
            .arg(session.client.address.to_string())
            .arg(&session.client.user_agent);
        let (record, ended) = self.run(&invocation, time).await?;
        Ok(Opened { session: read(session.user, session.id, record)?, ended })
    }

    async fn resume(&self, user: UserId, session: SessionId, time: &StoreTime) -> Result<Option<Session>, StoreError> {
        let mut invocation = self.scripts.resume.prepare_invoke();
        invocation.key(session_key(user, session)).arg(self.ahead_ms()).arg(milliseconds(LAST_USED_RESOLUTION));
        let record: Option<Record> = self.run(&invocation, time).await?;
        record.map(|record| read(user, session, record)).transpose()
    }

    async fn list(&self, user: UserId, time: &StoreTime) -> Result<Vec<Session>, StoreError> {
        let mut invocation = self.scripts.list.prepare_invoke();
        invocation.key(index_key(user)).arg(self.ahead_ms()).arg(session_key_prefix(user));
        let records: Vec<(String, Record)> = self.run(&invocation, time).await?;
        let session = |(id, record): (String, Record)| {
            let id = id.parse().map_err(|error| StoreError::corrupt(STORE, &error))?;
            read(user, SessionId(id), record)
        };
        records.into_iter().map(session).collect()
    }

    async fn refresh(&self, attempt: &RefreshAttempt, time: &StoreTime) -> Result<Refresh, StoreError> {
        let RefreshAttempt { user, session, counter, rotation } = attempt;
        if !user.is_active() {
            return Ok(Refresh::NotInForce);
        }
        let mut invocation = self.scripts.refresh.prepare_invoke();
        invocation
            .key(session_key(user.id, *session))
            .key(index_key(user.id))
            .arg(self.ahead_ms())
            .arg(session.to_string())
            .arg(*counter)
            .arg(user.epoch.0)
            .arg(user.kept_session.map(|kept| kept.to_string()).unwrap_or_default())
            .arg(milliseconds(LAST_USED_RESOLUTION))
            .arg(match rotation {
                Rotation::Off => String::new(),
                Rotation::On(key) => key_number(*key).to_string(),
            })
            .arg(milliseconds(SHARED_FOR));
        let (outcome, record): (String, Option<Record>) = self.run(&invocation, time).await?;
        let Some(record) = record else { return Ok(Refresh::NotInForce) };
        let presentation = Presentation::ALL.into_iter().find(|presentation| presentation.label() == outcome);
        let presentation = presentation.ok_or_else(|| StoreError::corrupt(STORE, "an unknown outcome"))?;
        Ok(Refresh::Presented(presentation, read(user.id, *session, record)?))
    }

    async fn end(&self, user: UserId, session: SessionId, time: &StoreTime) -> Result<u64, StoreError> {
        let mut invocation = self.scripts.end.prepare_invoke();
        invocation.key(session_key(user, session)).key(index_key(user)).arg(self.ahead_ms()).arg(session.to_string());
        self.run(&invocation, time).await
    }

    async fn end_all(&self, user: UserId, kept: Option<SessionId>, time: &StoreTime) -> Result<u64, StoreError> {
        let mut invocation = self.scripts.end_all.prepare_invoke();
        let kept = kept.map(|kept| kept.to_string()).unwrap_or_default();
        invocation.key(index_key(user)).arg(self.ahead_ms()).arg(session_key_prefix(user)).arg(kept);
        self.run(&invocation, time).await
    }

    async fn ping(&self, time: &StoreTime) -> Result<(), StoreError> {
        let nobody = UserId(uuid::Uuid::nil());
        self.resume(nobody, SessionId(uuid::Uuid::nil()), time).await.map(drop)
    }
}

fn session_key_prefix(user: UserId) -> String {
    format!("session:{{{user}}}:")
}

fn session_key(user: UserId, session: SessionId) -> String {
    format!("{}{session}", session_key_prefix(user))
}

fn index_key(user: UserId) -> String {
    format!("sessions:{{{user}}}")
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn key_number(key: KeyTag) -> u32 {
    u32::from_be_bytes(key.0)
}

/// epoch, held, successor, `successor_key`, rotated, created, expires, `last_used`, idle, address, user agent
type Record = (i64, u64, u64, u32, i64, i64, i64, i64, u64, String, String);

fn read(user: UserId, id: SessionId, record: Record) -> Result<Session, StoreError> {
    let (epoch, held, successor, successor_key, rotated, created, expires, last_used, idle, address, user_agent) =
        record;
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
        idle: (idle > 0).then(|| Duration::from_millis(idle)),
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
