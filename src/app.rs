//! What a server consists of, put together by the settings.

use std::{path::Path, sync::Arc};

use postern::{
    accounts::Accounts,
    api_keys::ApiClients,
    audit::Trail,
    clock::Clock,
    config::{Config, ConfigError, Stores},
    http::{Readiness, Router, Service, TokenCheckConfig, routes},
    keys::{self, LiveKeyring},
    metrics::Metrics,
    os,
    passwords::{Hasher, Policy},
    rate_limit::{AttemptStores, LoginLimiter},
    server::{ConnectionLimits, Patience},
    store::{
        AttemptStore, AuditStore, SessionStore, UserStore, instrumented_attempts, instrumented_sessions,
        instrumented_users,
        memory::MemoryAttempts,
        postgres::{self, PostgresStore, SchemaError},
        redis::RedisStore,
        sqlite::{DataDirectory, ServerLock},
    },
    tokens::{AccessTokens, RefreshTokens},
};
use tracing::warn;

use crate::exit::ExitError;

/// Places of the operations listener, where the public one has more: probes and scrapers are few.
const OPERATIONS_CONNECTIONS: usize = 1000;

/// Open files beside those of connections: of stores, keys, the log, and the runtime.
const OTHER_FILES: usize = 100;

/// Puts a server together.
pub struct App<'config> {
    /// By these settings.
    pub config: &'config Config,
    /// With this time.
    pub clock: Arc<dyn Clock>,
    /// Counted here.
    pub metrics: Arc<Metrics>,
}

impl App<'_> {
    /// The data directory of the embedded store, for this server alone, with keys beside it.
    pub fn lock_data(&self) -> Result<Option<(DataDirectory, ServerLock)>, ExitError> {
        if !matches!(self.config.stores, Stores::Embedded) {
            return Ok(None);
        }
        let directory = DataDirectory::open(&self.config.data_dir)?;
        let lock = directory.lock()?;
        make_first_keys(&directory, &self.config.keys_dir, &self.clock)?;
        Ok(Some((directory, lock)))
    }

    /// The stores of the settings; the embedded one is in the directory that has been locked.
    pub async fn open_stores(&self, data: Option<(DataDirectory, ServerLock)>) -> Result<OpenStores, ExitError> {
        let local = Arc::new(MemoryAttempts::new(Arc::clone(&self.clock)));
        match (&self.config.stores, data) {
            (Stores::Embedded, None) => unreachable!("the data directory of an embedded store has been locked"),
            (Stores::Embedded, Some((directory, lock))) => {
                let store = Arc::new(directory.store(&lock, Arc::clone(&self.clock))?);
                Ok(OpenStores {
                    users: store.clone(),
                    sessions: store.clone(),
                    attempts: AttemptStores { shared: None, local },
                    audit: store,
                    _lock: Some(lock),
                })
            }
            (Stores::PostgresRedis(database, redis_url), _) => {
                match postgres::check_schema(database).await {
                    // Not ready, but nothing that a restart would mend: each connection checks the schema when it is made.
                    Err(error @ (SchemaError::Unreachable(_) | SchemaError::Silent)) => warn!(%error, "not ready yet"),
                    checked => checked?,
                }
                let users = Arc::new(PostgresStore::new(database, self.config.limits.store)?);
                let redis = Arc::new(RedisStore::new(redis_url, Arc::clone(&self.clock))?);
                let (watched_users, watched_redis) = (Arc::clone(&users), Arc::clone(&redis));
                self.metrics.watch_pool("PostgreSQL", move || watched_users.pool_stats());
                self.metrics.watch_pool("Redis", move || watched_redis.pool_stats());
                Ok(OpenStores {
                    users: users.clone(),
                    sessions: redis.clone(),
                    attempts: AttemptStores { shared: Some(redis), local },
                    audit: users,
                    _lock: None,
                })
            }
        }
    }

    /// Everything that can be done with accounts.
    pub fn accounts(&self, stores: &OpenStores, keys: Arc<LiveKeyring>, audit: Trail) -> Result<Accounts, ExitError> {
        let Self { config, metrics, .. } = self;
        let hasher = Hasher::start(config.hashing, metrics.hashing.clone())?;
        if config.hashing_is_oversubscribed() {
            hasher.enable_foreground_yield();
        }
        let access_tokens =
            AccessTokens::new(Arc::clone(&keys), config.access_format, config.issuer.clone(), config.audience.clone());
        Ok(Accounts {
            users: instrumented_users(Arc::clone(&stores.users), metrics.store_calls.clone()),
            sessions: instrumented_sessions(Arc::clone(&stores.sessions), metrics.store_calls.clone()),
            hasher,
            policy: Policy { min_code_points: config.password_min_length },
            access_tokens: access_tokens.map_err(|error| {
                ExitError::Settings(vec![ConfigError {
                    name: "POSTERN_ISSUER, POSTERN_AUDIENCE",
                    message: error.to_string(),
                }])
            })?,
            refresh_tokens: RefreshTokens::new(Arc::clone(&keys)),
            limiter: config.rate_limiting.then(|| self.limiter(&stores.attempts, keys)),
            clock: Arc::clone(&self.clock),
            lifetimes: config.lifetimes,
            max_sessions: config.max_sessions,
            rotation_enabled: config.refresh_rotation,
            metrics: Arc::clone(metrics),
            audit,
        })
    }

    fn limiter(&self, attempts: &AttemptStores, keys: Arc<LiveKeyring>) -> LoginLimiter {
        let calls = &self.metrics.store_calls;
        let counted = |attempts: &Arc<dyn AttemptStore>| instrumented_attempts(Arc::clone(attempts), calls.clone());
        let attempts =
            AttemptStores { shared: attempts.shared.as_ref().map(counted), local: Arc::clone(&attempts.local) };
        LoginLimiter::new(attempts, keys, self.config.hashing.max_wait, self.metrics.limiter.clone())
    }

    /// What other services are told.
    pub fn token_check(&self) -> Result<TokenCheckConfig, ExitError> {
        let api_clients = match &self.config.api_keys_file {
            Some(file) => ApiClients::of_file(file.clone(), Arc::clone(&self.clock))?,
            None => ApiClients::nobody(Arc::clone(&self.clock)),
        };
        Ok(TokenCheckConfig { api_clients, session_outage_policy: self.config.verify_degraded })
    }

    /// The keys, which the process follows from now on as they change.
    pub fn open_keys(&self) -> Result<Arc<LiveKeyring>, ExitError> {
        let keys = Arc::new(LiveKeyring::open(&self.config.keys_dir)?);
        if keys.current().limiter_keys().next().is_none() {
            warn!("there is no limiter key: once every replica has this version, `postern keys generate` makes it");
        }
        let watched = Arc::clone(&keys);
        self.metrics.watch_keys(move || watched.is_readable());
        tokio::spawn(Arc::clone(&keys).watch());
        Ok(keys)
    }

    /// What the public listener serves.
    pub fn public(
        &self,
        accounts: &Arc<Accounts>,
        readiness: &Arc<Readiness>,
        token_check: Arc<TokenCheckConfig>,
    ) -> Service {
        let service = self.service(routes::public(), accounts, readiness);
        let service = service.with_token_check(token_check).with_origins(self.config.origins.clone());
        let service = service.with_trusted_proxies(self.config.trusted_proxies.clone());
        if self.config.tls.is_some() { service.with_hsts() } else { service }
    }

    /// What the operations listener serves.
    pub fn operations(&self, accounts: &Arc<Accounts>, readiness: &Arc<Readiness>) -> Service {
        self.service(routes::operations(), accounts, readiness)
    }

    fn service(&self, router: Router, accounts: &Arc<Accounts>, readiness: &Arc<Readiness>) -> Service {
        Service::new(router, Arc::clone(accounts), Arc::clone(readiness), self.config.limits)
    }

    /// The limits of the public listener.
    pub fn public_limits(&self) -> ConnectionLimits {
        self.limits(self.config.max_connections)
    }

    /// The limits of the operations listener.
    pub fn operations_limits(&self) -> ConnectionLimits {
        self.limits(self.config.max_connections.min(OPERATIONS_CONNECTIONS))
    }

    fn limits(&self, connections: usize) -> ConnectionLimits {
        ConnectionLimits {
            connections,
            patience: Patience::of(self.config.limits.request, self.config.idle_timeout),
            age: self.config.max_connection_age,
        }
    }

    /// Each connection is an open file: as many may be open as the system lets us.
    pub fn raise_open_files_limit(&self) {
        let connections = self.public_limits().connections.saturating_add(self.operations_limits().connections);
        let needed = u64::try_from(connections.saturating_add(OTHER_FILES)).unwrap_or(u64::MAX);
        if let Some(limit) = os::raise_open_files_limit().filter(|limit| *limit < needed) {
            warn!(limit, needed, "fewer files may be open than POSTERN_MAX_CONNECTIONS needs");
        }
    }
}

/// The stores, by what they can do.
pub struct OpenStores {
    pub users: Arc<dyn UserStore>,
    pub sessions: Arc<dyn SessionStore>,
    pub attempts: AttemptStores,
    pub audit: Arc<dyn AuditStore>,
    /// Held as long as the embedded store is.
    _lock: Option<ServerLock>,
}

/// Keys for a data directory in which nothing has been kept yet. Keys that are missing later have been lost, and new ones
/// would end every session.
pub fn make_first_keys(directory: &DataDirectory, keys_dir: &Path, clock: &Arc<dyn Clock>) -> Result<(), ExitError> {
    if directory.is_new() {
        keys::generate(keys_dir, clock.now())?;
    }
    Ok(())
}
