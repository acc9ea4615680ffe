//! Builds the parts of a server as `src/app.rs` does, with settings that suit tests and benches.

use std::{net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use postern::{
    accounts::{Accounts, AdminCall, CallContext, ImportedHashes, Lifetimes, SessionOutagePolicy, UserAdmin, UserEdit},
    audit::{self, WriterHandle},
    clock::{Clock as _, ManualClock},
    http::{AdminAccess, AdminListener, CorsPolicy, RequestLimits, UseCases},
    keys::{self, LiveKeyring},
    metrics::Metrics,
    model::{AccountStatus, AuditOrigin, Client, Role},
    passwords::{HashParameters, Hasher, HasherSettings, Policy, WorkPermit},
    rate_limit::LoginLimiter,
    server::ConnectionTimeouts,
    store::{TimeBudget, instrumented_audit_reader, instrumented_sessions, instrumented_users},
    tokens::{AccessFormat, AccessTokens, RefreshTokens},
};

use time::OffsetDateTime;

use super::Stores;

/// Cheap enough that a test is not a benchmark.
pub const CHEAP: HashParameters = HashParameters { memory_kib: 8, passes: 1, lanes: 1 };

/// Settings of a server in the test's process.
pub struct Settings {
    pub hashing: HasherSettings,
    pub limits: RequestLimits,
    pub access_format: AccessFormat,
    pub lifetimes: Lifetimes,
    pub max_sessions: u32,
    pub rotation_enabled: bool,
    pub connection_age: Duration,
    pub connections: usize,
    /// `None`: derived from the limit of a request.
    pub timeouts: Option<ConnectionTimeouts>,
    pub cors: CorsPolicy,
    pub session_outage_policy: SessionOutagePolicy,
    pub admin_listener: AdminListener,
    pub admin_access: AdminAccess,
    pub rate_limits: bool,
    pub trusted_proxies: &'static str,
    pub imported_hashes_until: Option<OffsetDateTime>,
    pub audit: audit::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hashing: hashing(CHEAP),
            limits: RequestLimits { request: Duration::from_secs(30), store: Duration::from_secs(30) },
            access_format: AccessFormat::Paseto,
            lifetimes: Lifetimes {
                access: Duration::from_mins(5),
                session: Duration::from_hours(24),
                idle: None,
                published_keys: Duration::from_mins(5),
            },
            max_sessions: 100,
            rotation_enabled: false,
            connection_age: Duration::from_mins(5),
            connections: 1000,
            timeouts: None,
            cors: CorsPolicy::default(),
            session_outage_policy: SessionOutagePolicy::Refuse,
            admin_listener: AdminListener::Operations,
            admin_access: AdminAccess::default(),
            rate_limits: true,
            trusted_proxies: "none",
            imported_hashes_until: None,
            audit: audit::Settings { retention: None, capacity: 10_000, linger: Duration::from_millis(10) },
        }
    }
}

/// Assembles the use cases of a server on these stores, and the writer of its audit trail, which must live as long.
pub fn assemble(
    stores: Stores,
    keys: &Arc<LiveKeyring>,
    clock: Arc<ManualClock>,
    settings: &Settings,
) -> (UseCases, WriterHandle) {
    let Stores { users, sessions, attempts, audit: events, audit_reader, directory, user_admin } = stores;
    let metrics = Arc::new(Metrics::new("paseto"));
    let limiter = LoginLimiter::new(attempts, Arc::clone(keys), settings.hashing.max_wait, metrics.limiter.clone());
    let (trail, writing) = audit::start(Arc::clone(&events), clock.clone(), metrics.audit.clone(), settings.audit);
    let accounts = Accounts {
        users: instrumented_users(users, metrics.store_calls.clone()),
        sessions: instrumented_sessions(sessions, metrics.store_calls.clone()),
        hasher: Arc::new(Hasher::start(settings.hashing, metrics.hashing.clone()).expect("valid parameters")),
        imported_hashes: ImportedHashes::accepted_until(
            settings.imported_hashes_until,
            clock.clone(),
            metrics.hashing.clone(),
        ),
        policy: Policy { min_code_points: 8 },
        access_tokens: access_tokens(keys, settings.access_format),
        refresh_tokens: RefreshTokens::new(Arc::clone(keys)),
        clock,
        lifetimes: settings.lifetimes,
        max_sessions: settings.max_sessions,
        limiter: if settings.rate_limits { limiter } else { LoginLimiter::unlimited() },
        rotation_enabled: settings.rotation_enabled,
        events: instrumented_audit_reader(Arc::clone(&audit_reader), metrics.store_calls.clone()),
        metrics,
        audit: trail,
    };
    let user_admin = UserAdmin {
        users: Arc::clone(&accounts.users),
        directory,
        changes: user_admin,
        events: audit_reader,
        sessions: Some(Arc::clone(&accounts.sessions)),
        hasher: Arc::clone(&accounts.hasher),
        policy: accounts.policy,
        clock: Arc::clone(&accounts.clock),
        audit: accounts.audit.clone(),
    };
    (UseCases { accounts: Arc::new(accounts), user_admin: Arc::new(user_admin) }, writing)
}

/// One hashing thread, and a queue that refuses nobody soon.
pub fn hashing(parameters: HashParameters) -> HasherSettings {
    HasherSettings { parameters, threads: 1, max_wait: Duration::from_mins(1) }
}

/// Generates keys in a directory, and opens them.
pub fn new_keys(directory: &Path, clock: &ManualClock) -> Arc<LiveKeyring> {
    keys::generate(directory, clock.now()).expect("keys can be made");
    Arc::new(LiveKeyring::open(directory).expect("keys can be read"))
}

/// Returns access tokens of the default issuer and audience.
pub fn access_tokens(keys: &Arc<LiveKeyring>, format: AccessFormat) -> AccessTokens {
    let named = || "postern".to_owned();
    AccessTokens::new(Arc::clone(keys), format, named(), named()).expect("short tokens")
}

/// A budget that suffices on a busy machine.
pub fn time() -> TimeBudget {
    TimeBudget::new(Duration::from_mins(1))
}

/// A call by a client on this machine.
pub fn call() -> CallContext {
    CallContext { client: Client::new(Ipv4Addr::LOCALHOST.into(), ""), request_id: "a-test".to_owned(), time: time() }
}

/// A call by a command, within a budget.
pub fn admin_call(time: &TimeBudget) -> AdminCall<'_> {
    AdminCall::of_administrator(AuditOrigin::command_line(1000), WorkPermit::for_command_line(), time)
}

/// An edit that changes the name.
pub fn renamed(name: &str) -> UserEdit {
    UserEdit { name: Some(name.parse().expect("a name")), ..UserEdit::default() }
}

/// An edit that changes the status.
pub fn with_status(status: AccountStatus) -> UserEdit {
    UserEdit { status: Some(status), ..UserEdit::default() }
}

/// An edit that changes the role.
pub fn with_role(role: Role) -> UserEdit {
    UserEdit { role: Some(role), ..UserEdit::default() }
}
