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
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use deadpool_redis::{Connection, Manager, Pool, PoolError, Runtime, TimeoutType};
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisError, Script,
    ScriptInvocation, aio::MultiplexedConnection,
};

use tokio::time::timeout;

use self::sessions::ServerTime;
use super::{
    StoreError, StoreTime,
    link::{Broken, Link},
    retries::RetryBudget,
    url::{StoreUrl, UrlFile},
};
use crate::{clock::Clock, metrics::PoolUse};

const STORE: &str = "Redis";

/// How long a connection may take to be made. Requests wait for it no longer than their own time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The most connections that are being made at once: more than [`Link`] begins while one hangs.
const MAX_ATTEMPTS: usize = 16;

/// Where Redis is, and how to log in there. It cannot be printed whole: what is shown leaves out user and password.
#[derive(Clone)]
pub struct RedisUrl {
    info: ConnectionInfo,
    file: Option<UrlFile>,
}

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_url =
            ["redis://", "rediss://", "redis+unix://", "unix://"].iter().any(|scheme| text.starts_with(scheme));
        let info = text.into_connection_info().ok().filter(|_| is_url);
        let info = info.ok_or("redis://user:password@host:6379/0, or rediss://… for TLS")?;
        Ok(Self { info, file: None })
    }
}

impl StoreUrl for RedisUrl {
    fn file(&self) -> Option<&UrlFile> {
        self.file.as_ref()
    }

    fn of(self, file: UrlFile) -> Self {
        Self { file: Some(file), ..self }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_encrypted = matches!(self.info.addr(), ConnectionAddr::TcpTls { .. });
        let scheme = if is_encrypted { "rediss" } else { "redis" };
        write!(formatter, "{scheme}://{}/{}", self.info.addr(), self.info.redis_settings().db())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Sessions and attempts in Redis, over one multiplexed connection that all requests share.
///
/// Checking one out of a pool for each request would cost a round trip more, since the pool asks each connection whether it
/// is alive: in four runs, sharing gave 1.9 to 2.0 times as many calls a second to one caller, 1.6 to 3.0 to 16 at once, and
/// 2.9 to 4.3 to 64 (`scripts/with-stores cargo bench --bench redis_connection`, on loopback).
pub struct RedisStore {
    link: Link<MultiplexedConnection>,
    retries: RetryBudget,
    session_scripts: sessions::Scripts,
    attempt_scripts: attempts::Scripts,
    clock: Arc<dyn Clock>,
    server_time: ServerTime,
}

impl RedisStore {
    /// The Redis at this address; no connection is made yet. Redis tells the time, and `clock` adds how far
    /// a test has moved it.
    ///
    /// # Errors
    /// Where the address cannot be used.
    pub fn new(url: &RedisUrl, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let server = Arc::new(Server::new(url)?);
        Ok(Self {
            link: Link::new(move || Arc::clone(&server).connect()),
            retries: RetryBudget::default(),
            session_scripts: sessions::Scripts::new(),
            attempt_scripts: attempts::Scripts::new(),
            clock,
            server_time: ServerTime::default(),
        })
    }

    /// Runs a script; once more, within the budget, where the connection turned out to be broken, which does no harm:
    /// each script leaves the same behind when it is run twice. What the first one has ended, though, the second one finds
    /// gone: nobody is told then of a theft, or of how many there were.
    async fn run<T: redis::FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
        time: &StoreTime,
    ) -> Result<T, StoreError> {
        self.retries.earn();
        let outcome = match self.attempt(invocation, time).await {
            Err(Broken::Connection(_)) if self.retries.spend() => self.attempt(invocation, time).await,
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
        self.retries.earn();
        Ok(self.attempt(invocation, time).await?)
    }

    async fn attempt<T: redis::FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
        time: &StoreTime,
    ) -> Result<T, Broken> {
        let (mut used, answers) = (None, self.link.answers());
        let run = async {
            let open = used.insert(self.link.open().await?);
            Ok(invocation.invoke_async(&mut open.connection).await)
        };
        let outcome = time.limit(STORE, run).await;
        let Some(open) = used else { return Err(Broken::Other(outcome.err().unwrap_or_else(no_connection))) };
        match outcome {
            Ok(Ok(answer)) => {
                self.link.has_answered();
                Ok(answer)
            }
            Ok(Err(error)) => {
                if ends_connection(&error) {
                    self.link.lose(&open);
                }
                let is_dropped = error.is_connection_dropped();
                Err(if is_dropped { Broken::Connection(error.into()) } else { Broken::Other(error.into()) })
            }
            Err(error) => {
                // Nothing has come over it in that time for anybody: it leads nowhere.
                if self.link.answers() == answers {
                    self.link.lose(&open);
                }
                Err(Broken::Other(error))
            }
        }
    }

    /// How far a test has moved the clock.
    fn ahead_ms(&self) -> u64 {
        milliseconds(self.clock.ahead())
    }

    /// How the one connection is used now: as long as it is there, all requests share it.
    #[must_use]
    pub fn pool_use(&self) -> PoolUse {
        let retries = self.retries.counts();
        PoolUse { idle: 0, in_use: usize::from(self.link.is_open()), max: 1, waiting: self.link.waiting(), retries }
    }
}

/// Where connections are made to.
struct Server(RwLock<Arc<Address>>);

/// A URL, and what makes connections by it.
struct Address {
    url: RedisUrl,
    pool: Pool,
}

impl Server {
    fn new(url: &RedisUrl) -> Result<Self, StoreError> {
        Ok(Self(RwLock::new(Arc::new(Address::of(url.clone())?))))
    }

    /// A connection of its own. Where none can be made, the file of the URL may say something else by now: a password that
    /// is refused is not always told from other errors.
    async fn connect(self: Arc<Self>) -> Result<MultiplexedConnection, StoreError> {
        let address = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let made = match address.connect().await {
            Err(error) => match self.renewed(&address) {
                Some(renewed) => renewed.connect().await,
                None => Err(error),
            },
            made => made,
        };
        made.map_err(|error| StoreError::unavailable(STORE, &error))
    }

    /// Where to go instead of an address that was of no use: where others have just been, or where the file says now.
    fn renewed(&self, refused: &Arc<Address>) -> Option<Arc<Address>> {
        let mut address = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&address, refused) {
            *address = Arc::new(refused.url.renewed(STORE).and_then(|url| Address::of(url).ok())?);
        }
        Some(Arc::clone(&address))
    }
}

impl Address {
    fn of(url: RedisUrl) -> Result<Self, StoreError> {
        // The time of the request limits each response.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let manager = Manager::new_with_config(url.info.clone(), config).map_err(StoreError::from)?;
        let pool = Pool::builder(manager)
            .max_size(MAX_ATTEMPTS)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build();
        Ok(Self { url, pool: pool.map_err(|error| StoreError::unavailable(STORE, &error))? })
    }

    /// A connection that has carried an answer: without a password, one is made whether Redis asks for one or not.
    async fn connect(&self) -> Result<MultiplexedConnection, PoolError> {
        let mut connection = Connection::take(self.pool.get().await?);
        let pong = timeout(CONNECT_TIMEOUT, redis::cmd("PING").exec_async(&mut connection)).await;
        pong.map_err(|_| PoolError::Timeout(TimeoutType::Create))??;
        Ok(connection)
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

/// A script, behind what every one of them begins with and what those of its kind begin with.
fn script(prelude: &str, text: &str) -> Script {
    Script::new(&[include_str!("clock.lua"), prelude, text].concat())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        Self::unavailable(STORE, &error)
    }
}
