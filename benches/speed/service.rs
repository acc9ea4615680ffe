//! Builds the measured service in the same way as `src/app.rs`.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use postern::{
    accounts::{Accounts, Lifetimes, SignUp, Tokens},
    audit,
    clock::ManualClock,
    http::{self, Readiness, RequestLimits, routes},
    keys::LiveKeyring,
    metrics::Metrics,
    model::Client,
    passwords::{HashParameters, Hasher, Password},
};

use crate::support::{Backend, PASSWORD, Settings, assemble, call, hashing, new_keys};

/// A service with a signed-in user.
pub struct Served {
    pub service: Arc<http::Service>,
    /// The tokens of the user.
    pub tokens: Tokens,
    /// Writes the audit trail until it is dropped.
    pub audit_writer: audit::WriterHandle,
}

/// Builds a service on a backend.
pub async fn served<B: Backend>(backend: &B) -> Served {
    let clock = Arc::new(ManualClock::default());
    let stores = backend.open(Arc::clone(&clock)).await;
    let keys = keys();
    let defaults = Settings::default();
    let settings = Settings {
        rotation_enabled: true,
        // Longer than any measurement.
        lifetimes: Lifetimes { access: Duration::from_hours(1), ..defaults.lifetimes },
        audit: audit::Settings::keeping(None),
        ..defaults
    };
    let (use_cases, audit_writer) = assemble(stores, &keys, clock, &settings);
    let tokens = signed_up(&use_cases.accounts).await;
    let limits = RequestLimits { request: Duration::from_secs(10), store: Duration::from_secs(1) };
    let service = http::Service::new(routes::public(), use_cases, Arc::new(Readiness::default()), limits);
    Served { service: Arc::new(service), tokens, audit_writer }
}

/// Starts a hasher with one thread.
pub fn hasher(parameters: HashParameters) -> Hasher {
    Hasher::start(hashing(parameters), Metrics::new("").hashing).expect("parameters")
}

/// Generates keys.
pub fn keys() -> Arc<LiveKeyring> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    new_keys(directory.path(), &ManualClock::default())
}

/// Returns the client that opens sessions.
pub fn client() -> Client {
    Client::new(Ipv4Addr::LOCALHOST.into(), "curl/8.14.1")
}

async fn signed_up(accounts: &Accounts) -> Tokens {
    let (name, email) = ("Ada Lovelace".parse().expect("a name"), "ada@example.org".parse().expect("an address"));
    let password = accounts.policy.check(Password::new(PASSWORD), Some(&name), Some(&email));
    accounts.sign_up(SignUp { name, email, password }, &call()).await.expect("an account")
}
