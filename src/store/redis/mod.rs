//! Sessions in Redis, and attempts.
//!
//! A session is the hash `session:{<user id>}:<session id>` with a TTL; `sessions:{<user id>}` is a sorted set of a user's
//! session ids by expiry, for listing and pruning only. The braces put all of a user's keys into one slot of a cluster, so
//! that each operation is one script. A session stores its own expiry, and that decides; the TTL tidies up.

mod attempts;
mod sessions;

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use deadpool_redis::{Connection, Manager, Pool, Runtime};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisError, Script,
    ScriptInvocation, aio::MultiplexedConnection,
};

use self::sessions::ServerTime;
use super::{StoreError, StoreTime};
use crate::{clock::Clock, metrics::PoolUse};

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

/// Sessions and attempts in Redis, over one multiplexed connection that all requests share.
pub struct RedisStore {
    pool: Pool,
    /// The connection in use, or the attempt to make one.
    current: Mutex<Option<Connecting>>,
    session_scripts: sessions::Scripts,
    attempt_scripts: attempts::Scripts,
    clock: Arc<dyn Clock>,
    server_time: ServerTime,
}

/// A connection, or what came of the attempt to make it, for everybody who waits for it.
type Connecting = Shared<BoxFuture<'static, Result<MultiplexedConnection, StoreError>>>;

impl RedisStore {
    /// The Redis at this address; no connection is made yet. Redis tells the time, and `clock` adds how far
    /// a test has moved it.
    ///
    /// # Errors
    /// Where the address cannot be used.
    pub fn new(url: &RedisUrl, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        // The time of the request limits each response; see `attempt`.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let manager = Manager::new_with_config(url.0.clone(), config).map_err(StoreError::from)?;
        let pool = Pool::builder(manager).create_timeout(Some(CONNECT_TIMEOUT)).runtime(Runtime::Tokio1).build();
        let pool = pool.map_err(|error| StoreError::unavailable(STORE, &error))?;
        Ok(Self {
            pool,
            current: Mutex::default(),
            session_scripts: sessions::Scripts::new(),
            attempt_scripts: attempts::Scripts::new(),
            clock,
            server_time: ServerTime::default(),
        })
    }

    /// Runs a script; once more where the connection could not be made or turned out to be broken, which does no harm:
    /// each script leaves the same behind when it is run twice. What the first one has ended, though, the second one finds
    /// gone: nobody is told then of a theft, or of how many there were.
    async fn run<T: redis::FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
        time: &StoreTime,
    ) -> Result<T, StoreError> {
        let outcome = match self.attempt(invocation, time).await {
            Err(Broken::Connection(_)) => self.attempt(invocation, time).await,
            outcome => outcome,
        };
        Ok(outcome?)
    }

    /// Runs a script that may take effect once only.
    async fn run_once<T: redis::FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
        time: &StoreTime,
    ) -> Result<T, StoreError> {
        Ok(self.attempt(invocation, time).await?)
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

    /// How far a test has moved the clock.
    fn ahead_ms(&self) -> u64 {
        milliseconds(self.clock.ahead())
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
}

/// A script, behind what every one of them begins with and what those of its kind begin with.
fn script(prelude: &str, text: &str) -> Script {
    Script::new(&[include_str!("clock.lua"), prelude, text].concat())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Why a script did not run.
enum Broken {
    /// The connection was no more.
    Connection(StoreError),
    /// Anything else.
    Other(StoreError),
}

impl From<Broken> for StoreError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Connection(error) | Broken::Other(error) => error,
        }
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        Self::unavailable(STORE, &error)
    }
}
