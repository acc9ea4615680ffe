//! What is measured, put together as `src/main.rs` does it.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use postern::{
    accounts::{Accounts, CallContext, Lifetimes, SignUp, Tokens},
    audit,
    clock::{Clock as _, ManualClock, SystemClock},
    http::{self, Readiness, RequestLimits, routes},
    keys::{self, LiveKeyring},
    metrics::Metrics,
    model::Client,
    passwords::{HashParameters, Hasher, HasherSettings, Password, Policy},
    rate_limit::LoginLimiter,
    store::{TimeBudget, instrumented_sessions, instrumented_users},
    tokens::{AccessFormat, AccessTokens, RefreshTokens},
};

use crate::support::{Backend, Stores};

/// Where only the user has to be there, and not what the password costs.
const CHEAP: HashParameters = HashParameters { memory_kib: 8, passes: 1, lanes: 1 };

/// A service with a user who is signed in.
pub struct Served {
    /// Answers requests.
    pub service: Arc<http::Service>,
    /// The user's.
    pub tokens: Tokens,
    /// Writes the audit trail for as long as it is there.
    pub writing: audit::WriterHandle,
}

/// A service on a backend.
pub async fn served<B: Backend>(backend: &B) -> Served {
    let clock = Arc::new(ManualClock::default());
    let Stores { users, sessions, attempts, audit: events } = backend.open(Arc::clone(&clock)).await;
    let (keys, metrics) = (keys(), Arc::new(Metrics::new("paseto")));
    let limiter = LoginLimiter::new(attempts, Arc::clone(&keys), Duration::from_mins(1), metrics.limiter.clone());
    let settings = audit::Settings::keeping(None);
    let (trail, writing) = audit::start(events, clock.clone(), metrics.audit.clone(), settings);
    let accounts = Arc::new(Accounts {
        users: instrumented_users(users, metrics.store_calls.clone()),
        sessions: instrumented_sessions(sessions, metrics.store_calls.clone()),
        hasher: hasher(CHEAP),
        policy: Policy { min_code_points: 8 },
        access_tokens: access_tokens(&keys, AccessFormat::Paseto),
        refresh_tokens: RefreshTokens::new(keys),
        clock,
        // Longer than any measurement.
        lifetimes: Lifetimes {
            access: Duration::from_hours(1),
            session: Duration::from_hours(24),
            idle: None,
            published_keys: Duration::from_mins(5),
        },
        max_sessions: 100,
        limiter: Some(limiter),
        rotation_enabled: true,
        metrics,
        audit: trail,
    });
    let tokens = signed_up(&accounts).await;
    let limits = RequestLimits { request: Duration::from_secs(10), store: Duration::from_secs(1) };
    let service = http::Service::new(routes::public(), accounts, Arc::new(Readiness::default()), limits);
    Served { service: Arc::new(service), tokens, writing }
}

/// One thread that hashes.
pub fn hasher(parameters: HashParameters) -> Hasher {
    let settings = HasherSettings { parameters, threads: 1, max_wait: Duration::from_mins(1) };
    Hasher::start(settings, Metrics::new("").hashing).expect("parameters")
}

/// New keys.
pub fn keys() -> Arc<LiveKeyring> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    keys::generate(directory.path(), SystemClock.now()).expect("keys can be made");
    Arc::new(LiveKeyring::open(directory.path()).expect("keys can be read"))
}

/// Access tokens of the default issuer and audience.
pub fn access_tokens(keys: &Arc<LiveKeyring>, format: AccessFormat) -> AccessTokens {
    let named = || "postern".to_owned();
    AccessTokens::new(Arc::clone(keys), format, named(), named()).expect("short tokens")
}

/// Who opens sessions.
pub fn client() -> Client {
    Client::new(Ipv4Addr::LOCALHOST.into(), "curl/8.14.1")
}

/// The time of a call that takes as long as it takes.
pub fn time() -> TimeBudget {
    TimeBudget::new(Duration::from_mins(1))
}

fn call() -> CallContext {
    CallContext { client: client(), request_id: "bench".to_owned(), time: time() }
}

async fn signed_up(accounts: &Accounts) -> Tokens {
    let (name, email) = ("Ada Lovelace".parse().expect("a name"), "ada@example.org".parse().expect("an address"));
    let judged = accounts.validate_password(Password::new("secure_password"), Some(&name), Some(&email)).await;
    let password = judged.expect("an idle thread").expect("an acceptable password");
    accounts.sign_up(SignUp { name, email, password }, &call()).await.expect("an account")
}
