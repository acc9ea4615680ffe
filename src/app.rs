//! Builds the parts of a server from its settings.

use std::{path::Path, sync::Arc};

use postern::{
    accounts::{Accounts, ImportedHashes, UserAdmin},
    api_keys::ApiClients,
    audit::{self, Trail, WriterHandle},
    clock::{Clock, SystemClock},
    config::{Config, ConfigError, Stores},
    http::{AdminListener, Readiness, Router, Service, TokenCheckConfig, UseCases, routes},
    keys::{self, LiveKeyring},
    logging,
    metrics::{Metrics, ReloadedFile},
    os,
    passwords::{Hasher, Policy},
    rate_limit::{AttemptStores, LoginLimiter},
    reloading::FileWatch,
    request_memory::RequestBudget,
    server::{ConnectionLimits, ConnectionTimeouts, Tls},
    store::{
        AttemptStore, AuditReader, AuditStore, SessionStore, UserAdminStore, UserDirectory, UserStore,
        instrumented_attempts, instrumented_audit_reader, instrumented_directory, instrumented_sessions,
        instrumented_user_admin, instrumented_users,
        memory::MemoryAttempts,
        postgres::{self, PostgresStore, PostgresUrl},
        redis::{RedisStore, RedisUrl},
        sqlite::{DataDirectory, ServerLock},
    },
    tokens::{AccessFormat, AccessTokens, RefreshTokens},
};
use tracing::warn;

use crate::exit::ExitError;

/// The maximum number of connections of the operations listener: there are few probes and scrapers.
const OPERATIONS_CONNECTIONS: usize = 1000;

/// The number of open files besides connections: stores, keys, the log and the runtime.
const OTHER_FILES: usize = 100;

/// Builds the parts of a server.
pub struct App<'config> {
    pub config: &'config Config,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    request_budget: Arc<RequestBudget>,
}

impl<'config> App<'config> {
    pub fn new(config: &'config Config) -> Self {
        let formats: Vec<_> = AccessFormat::ALL.iter().map(ToString::to_string).collect();
        let metrics = Arc::new(Metrics::new(&formats.join(",")));
        metrics.watch_log(|| logging::dropped_lines().by_name());
        let request_budget = RequestBudget::new(config.request_memory_bytes, metrics.request_memory.clone());
        Self { config, clock: Arc::new(SystemClock), metrics, request_budget: Arc::new(request_budget) }
    }

    /// Opens and locks the data directory of the embedded store, and generates the first keys. Returns `None` if the stores
    /// are PostgreSQL and Redis.
    pub fn lock_data(&self) -> Result<Option<(DataDirectory, ServerLock)>, ExitError> {
        if !matches!(self.config.stores, Stores::Embedded) {
            return Ok(None);
        }
        let directory = DataDirectory::open(&self.config.data_dir)?;
        let lock = directory.lock()?;
        generate_first_keys(&directory, &self.config.keys_dir, &self.clock)?;
        Ok(Some((directory, lock)))
    }

    /// Opens the stores. The embedded store is in the locked directory.
    pub async fn open_stores(&self, data: Option<(DataDirectory, ServerLock)>) -> Result<OpenStores, ExitError> {
        match (&self.config.stores, data) {
            (Stores::Embedded, None) => unreachable!("the data directory of an embedded store is locked"),
            (Stores::Embedded, Some((directory, lock))) => self.open_embedded(&directory, lock),
            (Stores::PostgresRedis(database, redis), _) => self.open_postgres_redis(database, redis).await,
        }
    }

    fn open_embedded(&self, directory: &DataDirectory, lock: ServerLock) -> Result<OpenStores, ExitError> {
        let store = Arc::new(directory.store(&lock, Arc::clone(&self.clock))?);
        Ok(OpenStores {
            users: store.clone(),
            directory: store.clone(),
            user_admin: store.clone(),
            sessions: store.clone(),
            attempts: AttemptStores { shared: None, local: self.local_attempts() },
            audit: store.clone(),
            audit_reader: store,
            _lock: Some(lock),
        })
    }

    async fn open_postgres_redis(&self, database: &PostgresUrl, redis_url: &RedisUrl) -> Result<OpenStores, ExitError> {
        let mut users = PostgresStore::new(database, self.config.limits.store)?;
        match postgres::check_schema(database).await {
            // The server starts but is not ready: a restart would not help, and each new connection checks the schema.
            Err(error) if error.is_outage() => {
                warn!(%error, "PostgreSQL schema not checked; starting anyway");
                users = users.revealing_pooler();
            }
            checked => drop(checked?),
        }
        let users = Arc::new(users);
        let redis = Arc::new(RedisStore::new(redis_url, Arc::clone(&self.clock))?);
        let (watched_users, watched_redis) = (Arc::clone(&users), Arc::clone(&redis));
        self.metrics.watch_pool("PostgreSQL", move || watched_users.pool_stats());
        self.metrics.watch_pool("Redis", move || watched_redis.pool_stats());
        self.watch(ReloadedFile::DatabaseUrl, users.watch_url_file());
        self.watch(ReloadedFile::RedisUrl, redis.watch_url_file());
        Ok(OpenStores {
            users: users.clone(),
            directory: users.clone(),
            user_admin: users.clone(),
            sessions: redis.clone(),
            attempts: AttemptStores { shared: Some(redis), local: self.local_attempts() },
            audit: users.clone(),
            audit_reader: users,
            _lock: None,
        })
    }

    fn local_attempts(&self) -> Arc<MemoryAttempts> {
        Arc::new(MemoryAttempts::new(Arc::clone(&self.clock)))
    }

    /// Starts the task that writes audit events.
    pub fn start_audit(&self, stores: &OpenStores) -> (Trail, WriterHandle) {
        let settings = audit::Settings::keeping(self.config.audit_retention);
        audit::start(Arc::clone(&stores.audit), Arc::clone(&self.clock), self.metrics.audit.clone(), settings)
    }

    /// Starts the hashing threads, and builds the use cases.
    pub fn use_cases(&self, stores: &OpenStores, keys: Arc<LiveKeyring>, audit: Trail) -> Result<UseCases, ExitError> {
        let accounts = Arc::new(self.accounts(stores, keys, audit)?);
        let user_admin = Arc::new(self.user_admin(stores, &accounts));
        Ok(UseCases { accounts, user_admin })
    }

    fn accounts(&self, stores: &OpenStores, keys: Arc<LiveKeyring>, audit: Trail) -> Result<Accounts, ExitError> {
        let Self { config, metrics, .. } = self;
        let hasher = Arc::new(Hasher::start(config.hashing, metrics.hashing.clone())?);
        if config.hashing_is_oversubscribed() {
            hasher.enable_foreground_yield();
        }
        let access_tokens =
            AccessTokens::new(Arc::clone(&keys), config.access_format, config.issuer.clone(), config.audience.clone());
        Ok(Accounts {
            users: instrumented_users(Arc::clone(&stores.users), metrics.store_calls.clone()),
            sessions: instrumented_sessions(Arc::clone(&stores.sessions), metrics.store_calls.clone()),
            hasher,
            imported_hashes: ImportedHashes::accepted_until(
                config.imported_hashes_until,
                Arc::clone(&self.clock),
                metrics.hashing.clone(),
            )
            .with_free_memory(config.free_memory_bytes()),
            policy: Policy { min_code_points: config.password_min_length },
            access_tokens: access_tokens.map_err(|error| {
                ExitError::Settings(vec![ConfigError {
                    name: "POSTERN_ISSUER, POSTERN_AUDIENCE",
                    message: error.to_string(),
                }])
            })?,
            refresh_tokens: RefreshTokens::new(Arc::clone(&keys)),
            limiter: self.limiter(&stores.attempts, keys),
            clock: Arc::clone(&self.clock),
            lifetimes: config.lifetimes,
            max_sessions: config.max_sessions,
            rotation_enabled: config.refresh_rotation,
            metrics: Arc::clone(metrics),
            audit,
            events: instrumented_audit_reader(Arc::clone(&stores.audit_reader), metrics.store_calls.clone()),
        })
    }

    /// Builds the use cases of administrators, which share stores and hashing threads with those of users.
    fn user_admin(&self, stores: &OpenStores, accounts: &Accounts) -> UserAdmin {
        let calls = &self.metrics.store_calls;
        UserAdmin {
            users: Arc::clone(&accounts.users),
            directory: instrumented_directory(Arc::clone(&stores.directory), calls.clone()),
            events: Arc::clone(&accounts.events),
            changes: instrumented_user_admin(Arc::clone(&stores.user_admin), calls.clone()),
            sessions: Some(Arc::clone(&accounts.sessions)),
            hasher: Arc::clone(&accounts.hasher),
            policy: accounts.policy,
            clock: Arc::clone(&self.clock),
            audit: accounts.audit.clone(),
        }
    }

    fn limiter(&self, attempts: &AttemptStores, keys: Arc<LiveKeyring>) -> LoginLimiter {
        if !self.config.rate_limiting {
            return LoginLimiter::unlimited();
        }
        let calls = &self.metrics.store_calls;
        let instrumented =
            |attempts: &Arc<dyn AttemptStore>| instrumented_attempts(Arc::clone(attempts), calls.clone());
        let attempts =
            AttemptStores { shared: attempts.shared.as_ref().map(instrumented), local: Arc::clone(&attempts.local) };
        LoginLimiter::new(attempts, keys, self.config.hashing.max_wait, self.metrics.limiter.clone())
    }

    /// Reads the API keys, and watches them for changes from now on.
    pub fn token_check(&self) -> Result<TokenCheckConfig, ExitError> {
        let api_clients = match &self.config.api_keys_file {
            Some(file) => ApiClients::of_file(file.clone(), Arc::clone(&self.clock))?,
            None => ApiClients::empty(Arc::clone(&self.clock)),
        };
        self.watch(ReloadedFile::ApiKeys, api_clients.watch());
        Ok(TokenCheckConfig { api_clients, session_outage_policy: self.config.verify_degraded })
    }

    /// Opens the keys, and watches them for changes from now on.
    pub fn open_keys(&self) -> Result<Arc<LiveKeyring>, ExitError> {
        let keys = Arc::new(LiveKeyring::open(&self.config.keys_dir)?);
        if keys.current().limiter_keys().next().is_none() {
            warn!("the limiter key is missing: run `postern keys generate` when every replica has this version");
        }
        self.watch(ReloadedFile::Keys, keys.watch());
        Ok(keys)
    }

    /// Reads the certificate, and watches it for changes from now on.
    pub fn open_tls(&self) -> Result<Option<Arc<Tls>>, ExitError> {
        let Some(files) = self.config.tls.clone() else { return Ok(None) };
        let tls = Tls::open(files)?;
        self.watch(ReloadedFile::Certificate, tls.watch());
        Ok(Some(Arc::new(tls)))
    }

    /// Reads a file at an interval, and shows the outcome in the metrics.
    fn watch(&self, file: ReloadedFile, watch: FileWatch) {
        self.metrics.watch_file(file, watch.is_healthy);
        tokio::spawn(watch.run);
    }

    /// Builds the services of both listeners.
    pub fn services(
        &self,
        use_cases: &UseCases,
        readiness: &Arc<Readiness>,
        token_check: TokenCheckConfig,
    ) -> Services {
        let token_check = Arc::new(token_check);
        let service = |router, listener| self.service((router, listener), use_cases, readiness, &token_check);
        let public = service(routes::public(), AdminListener::Public).with_cors(self.config.cors.clone());
        let public = public.with_trusted_proxies(self.config.trusted_proxies.clone());
        let public = if self.config.tls.is_some() { public.with_hsts() } else { public };
        let operations = service(routes::operations(), AdminListener::Operations).with_memory_reserve();
        Services { public, operations }
    }

    fn service(
        &self,
        (router, listener): (Router, AdminListener),
        use_cases: &UseCases,
        readiness: &Arc<Readiness>,
        token_check: &Arc<TokenCheckConfig>,
    ) -> Service {
        let Config { admin_listener, admin_access, limits, log_requests, .. } = self.config;
        let router = if *admin_listener == listener { router.with(routes::admin()) } else { router };
        Service::new(router, use_cases.clone(), Arc::clone(readiness), *limits)
            .with_token_check(Arc::clone(token_check))
            .with_admin_access(admin_access.clone())
            .with_budget(Arc::clone(&self.request_budget))
            .with_request_lines(*log_requests)
    }

    pub fn public_limits(&self) -> ConnectionLimits {
        let limits = self.limits(self.config.max_connections);
        ConnectionLimits { timeouts: limits.timeouts.stopping_within(self.config.shutdown_grace), ..limits }
    }

    pub fn operations_limits(&self) -> ConnectionLimits {
        self.limits(self.config.max_connections.min(OPERATIONS_CONNECTIONS))
    }

    fn limits(&self, max_connections: usize) -> ConnectionLimits {
        ConnectionLimits {
            max_connections,
            timeouts: ConnectionTimeouts::of(self.config.limits.request, self.config.idle_timeout),
            max_age: self.config.max_connection_age,
        }
    }

    /// Raises the limit of open files as far as the system allows, because each connection is an open file.
    pub fn raise_open_files_limit(&self) {
        let connections = self.public_limits().max_connections.saturating_add(self.operations_limits().max_connections);
        let needed = u64::try_from(connections.saturating_add(OTHER_FILES)).unwrap_or(u64::MAX);
        if let Some(limit) = os::raise_open_files_limit().filter(|limit| *limit < needed) {
            warn!(limit, needed, "the limit of open files is too low for POSTERN_MAX_CONNECTIONS");
        }
    }
}

/// The services of the listeners.
pub struct Services {
    pub public: Service,
    pub operations: Service,
}

/// The open stores.
pub struct OpenStores {
    pub users: Arc<dyn UserStore>,
    pub directory: Arc<dyn UserDirectory>,
    pub user_admin: Arc<dyn UserAdminStore>,
    pub sessions: Arc<dyn SessionStore>,
    pub attempts: AttemptStores,
    pub audit: Arc<dyn AuditStore>,
    pub audit_reader: Arc<dyn AuditReader>,
    /// Keeps the data directory locked.
    _lock: Option<ServerLock>,
}

/// Generates the keys of a new data directory. Never later: keys that are missing then are lost, and new ones would end
/// every session.
pub fn generate_first_keys(
    directory: &DataDirectory,
    keys_dir: &Path,
    clock: &Arc<dyn Clock>,
) -> Result<(), ExitError> {
    if directory.is_new() {
        keys::generate(keys_dir, clock.now())?;
    }
    Ok(())
}
