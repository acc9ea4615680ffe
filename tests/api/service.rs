//! The language of these tests: a service on a backend of its own, the people who use it, and the answers that they get.

use std::{
    collections::HashMap, fs::OpenOptions, io::Write as _, net::SocketAddr, ops::Deref,
    os::unix::fs::OpenOptionsExt as _, path::Path, sync::Arc, time::Duration,
};

use postern::{
    accounts::{Accounts, CallContext, Lifetimes, SessionOutagePolicy, UserAdmin},
    api_keys::ApiClients,
    audit::{self, WriterHandle},
    clock::{Clock, ManualClock},
    http::{self, Origins, Readiness, RequestLimits, TokenCheckConfig, routes},
    keys::{self, LiveKeyring},
    metrics::Metrics,
    model::{AuditEvent, AuditOrigin, Client, EventKind, EventQuery, PasswordHash, User},
    passwords::{HashParameters, Hasher, HasherSettings, Policy},
    rate_limit::LoginLimiter,
    server::{self, ConnectionLimits, Listening, Patience, Phase},
    store::{AuditStore, TimeBudget, instrumented_sessions, instrumented_users},
    tokens::{AccessFormat, AccessTokens, RefreshTokens},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    asking::{Answer, Asking},
    counting::Counting,
    person::Person,
    support::{Backend, Stores},
};

/// The password that people have here.
pub const PASSWORD: &str = "secure_password";

/// The API key of an operator of every service here.
pub const API_KEY: &str = "an-api-key-that-has-32-characters";

/// Cheap enough that a test is not a benchmark.
pub const CHEAP: HashParameters = HashParameters { memory_kib: 8, passes: 1, lanes: 1 };

/// A call by somebody on this machine who has time.
pub fn call() -> CallContext {
    CallContext {
        client: Client::new([127, 0, 0, 1].into(), ""),
        request_id: "a-test".to_owned(),
        time: TimeBudget::new(Duration::from_mins(1)),
    }
}

/// What a test may want otherwise than by default.
pub struct Settings {
    pub hashing: HasherSettings,
    pub limits: RequestLimits,
    pub access_format: AccessFormat,
    pub lifetimes: Lifetimes,
    pub max_sessions: u32,
    pub rotation_enabled: bool,
    pub connection_age: Duration,
    pub connections: usize,
    /// None: what follows from the limit of a request.
    pub patience: Option<Patience>,
    pub origins: Origins,
    pub session_outage_policy: SessionOutagePolicy,
    pub throttles: bool,
    pub trusted_proxies: &'static str,
    pub audit: audit::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hashing: HasherSettings { parameters: CHEAP, threads: 1, max_wait: Duration::from_mins(1) },
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
            patience: None,
            origins: Origins::default(),
            session_outage_policy: SessionOutagePolicy::Refuse,
            throttles: true,
            trusted_proxies: "none",
            audit: audit::Settings { retention: None, capacity: 10_000, linger: Duration::from_millis(10) },
        }
    }
}

/// What all servers of a service share.
struct Shared<B> {
    backend: B,
    keys: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

/// A server, by itself on its backend or beside others.
pub struct Service<B> {
    shared: Arc<Shared<B>>,
    server: Server,
}

/// One server: its addresses, and what it consists of.
#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    operations: SocketAddr,
    pub accounts: Arc<Accounts>,
    pub readiness: Arc<Readiness>,
    pub counting: Arc<Counting>,
    pub keys: Arc<LiveKeyring>,
    events: Arc<dyn AuditStore>,
    /// Writes the audit trail for as long as the server is there.
    _writing: Arc<WriterHandle>,
    phase: Arc<watch::Sender<Phase>>,
}

impl<B> Deref for Service<B> {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl<B: Backend> Service<B> {
    pub async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    pub async fn start_with(settings: Settings) -> Self {
        let keys = tempfile::tempdir().expect("a temporary directory");
        let clock = Arc::new(ManualClock::default());
        keys::generate(keys.path(), clock.now()).expect("keys can be made");
        write_private(&keys.path().join("api-keys"), &format!("billing {API_KEY}\n"));
        let shared = Arc::new(Shared { backend: B::empty().await, keys, clock });
        let server = Server::start(&shared, settings).await;
        Self { shared, server }
    }

    /// Another server with the same stores and keys.
    pub async fn second(&self) -> Self {
        self.second_with(Settings::default()).await
    }

    /// Another server with the same stores and keys, and settings of its own.
    pub async fn second_with(&self, settings: Settings) -> Self {
        let shared = Arc::clone(&self.shared);
        let server = Server::start(&shared, settings).await;
        Self { shared, server }
    }

    pub fn backend(&self) -> &B {
        &self.shared.backend
    }

    /// What an administrator has beside this service.
    pub fn user_admin(&self) -> UserAdmin {
        let Accounts { users, policy, clock, metrics, audit, .. } = &*self.server.accounts;
        let hasher = HasherSettings { parameters: CHEAP, threads: 1, max_wait: Duration::from_mins(1) };
        UserAdmin {
            users: Arc::clone(users),
            hasher: Hasher::start(hasher, metrics.hashing.clone()).expect("valid parameters"),
            policy: *policy,
            clock: Arc::clone(clock),
            audit: audit.clone(),
            origin: AuditOrigin::command_line(1000),
        }
    }

    /// Where the keys are that all servers of the service share.
    pub fn keys_directory(&self) -> &Path {
        self.shared.keys.path()
    }

    /// The time by the clock of the service.
    pub fn now(&self) -> OffsetDateTime {
        self.shared.clock.now()
    }

    /// Moves the clock of the service and of its stores.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
    }
}

impl Server {
    async fn start<B: Backend>(shared: &Shared<B>, settings: Settings) -> Self {
        let clock = Arc::clone(&shared.clock);
        let Stores { users, sessions, attempts, audit: events } = shared.backend.open(Arc::clone(&clock)).await;
        let keys = Arc::new(LiveKeyring::open(shared.keys.path()).expect("keys can be read"));
        let named = || "postern".to_owned();
        let access_tokens = AccessTokens::new(Arc::clone(&keys), settings.access_format, named(), named());
        let counting = Arc::new(Counting::new(users, sessions));
        let metrics = Arc::new(Metrics::new("paseto"));
        let limiter =
            LoginLimiter::new(attempts, Arc::clone(&keys), settings.hashing.max_wait, metrics.limiter.clone());
        let (trail, writing) = audit::start(Arc::clone(&events), clock.clone(), metrics.audit.clone(), settings.audit);
        let accounts = Arc::new(Accounts {
            users: instrumented_users(counting.clone(), metrics.store_calls.clone()),
            sessions: instrumented_sessions(counting.clone(), metrics.store_calls.clone()),
            hasher: Hasher::start(settings.hashing, metrics.hashing.clone()).expect("valid parameters"),
            policy: Policy { min_code_points: 8 },
            access_tokens: access_tokens.expect("short tokens"),
            refresh_tokens: RefreshTokens::new(Arc::clone(&keys)),
            clock: clock.clone(),
            lifetimes: settings.lifetimes,
            max_sessions: settings.max_sessions,
            limiter: settings.throttles.then_some(limiter),
            rotation_enabled: settings.rotation_enabled,
            metrics,
            audit: trail,
        });
        let readiness = Arc::new(Readiness::default());
        let operators = ApiClients::of_file(shared.keys.path().join("api-keys"), clock).expect("API keys can be read");
        let vouching = Arc::new(TokenCheckConfig {
            api_clients: operators,
            session_outage_policy: settings.session_outage_policy,
        });
        let (phase, followed) = watch::channel(Phase::Serving);
        let mut addresses = Vec::new();
        for router in [routes::public(), routes::operations()] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            addresses.push(listener.local_addr().expect("an address"));
            let service = http::Service::new(router, Arc::clone(&accounts), Arc::clone(&readiness), settings.limits)
                .with_token_check(Arc::clone(&vouching))
                .with_trusted_proxies(settings.trusted_proxies.parse().expect("networks"));
            // As in `main`: the first is the public one.
            let service = if addresses.len() == 1 { service.with_origins(settings.origins.clone()) } else { service };
            let limits = ConnectionLimits {
                connections: settings.connections,
                patience: settings.patience.unwrap_or(Patience::of(settings.limits.request, Duration::from_secs(75))),
                age: settings.connection_age,
            };
            let listening = Listening { listener, service: Arc::new(service), limits, tls: None };
            tokio::spawn(server::serve(listening, followed.clone()));
        }
        let (phase, writing) = (Arc::new(phase), Arc::new(writing));
        let (address, operations) = (addresses[0], addresses[1]);
        Self { address, operations, accounts, readiness, counting, keys, events, _writing: writing, phase }
    }

    /// Asks the clients to find another server.
    pub fn leave(&self) {
        self.phase.send_replace(Phase::Leaving);
    }

    /// Stops accepting connections and lets those that there are come to their end.
    pub fn stop(&self) {
        self.phase.send_replace(Phase::Closing);
    }

    pub fn get(&self, path: &str) -> Asking {
        self.asking("GET", path)
    }

    pub fn post(&self, path: &str, body: Value) -> Asking {
        self.asking("POST", path).json(body)
    }

    pub fn asking(&self, method: &str, path: &str) -> Asking {
        Asking::new(self.address, method, path)
    }

    /// What an operator is told of a token.
    pub async fn introspect(&self, token: &str) -> Answer {
        self.post("/introspect/", json!({"token": token})).bearer(API_KEY).send().await
    }

    /// A question to the operations listener.
    pub fn operations(&self, path: &str) -> Asking {
        Asking::operations(self.operations, path)
    }

    pub async fn sign_up(&self, email: &str) -> Answer {
        let body = json!({"name": "Ada Lovelace", "email": email, "password": PASSWORD});
        self.post("/create-user/", body).send().await
    }

    pub async fn log_in(&self, email: &str, password: &str) -> Answer {
        self.post("/token/", json!({"email": email, "password": password})).send().await
    }

    pub async fn signed_up(&self, email: &str) -> Person {
        Person::new(self, email, &self.sign_up(email).await.expect(201))
    }

    pub async fn logged_in(&self, email: &str, password: &str) -> Person {
        Person::new(self, email, &self.log_in(email, password).await.expect(200))
    }

    /// The user as the store has it.
    pub async fn user(&self, email: &str) -> User {
        let email = email.parse().expect("a valid address");
        let time = TimeBudget::new(Duration::from_mins(1));
        self.counting.users.by_email(&email, &time).await.expect("an answer").expect("a user")
    }

    /// Puts a user into the store as no sign-up would.
    pub async fn insert(&self, user: &User) {
        let time = TimeBudget::new(Duration::from_mins(1));
        self.counting.users.insert(user, &time).await.expect("an answer");
    }

    /// The parameters of the hash that the store has for a user: `m=8,t=1,p=1`.
    pub async fn hash_parameters(&self, email: &str) -> String {
        let hash = self.user(email).await.password.expect("a password");
        PasswordHash::as_phc(&hash).split('$').nth(3).expect("parameters").to_owned()
    }

    /// The audit events of all servers, oldest first, once there are this many.
    pub async fn audited(&self, count: usize) -> Vec<AuditEvent> {
        self.audited_by(EventQuery::default(), count).await
    }

    /// The same of one kind, once there is one.
    pub async fn audited_of(&self, kind: EventKind) -> Vec<AuditEvent> {
        self.audited_by(EventQuery { kind: Some(kind), ..EventQuery::default() }, 1).await
    }

    async fn audited_by(&self, query: EventQuery, count: usize) -> Vec<AuditEvent> {
        let query = EventQuery { limit: 10_000, ..query };
        loop {
            let time = TimeBudget::new(Duration::from_mins(1));
            let mut events = self.events.list(&query, &time).await.expect("an answer");
            if events.len() >= count {
                events.reverse();
                return events;
            }
        }
    }

    /// How many calls the stores have got from this server.
    pub fn store_calls(&self) -> usize {
        self.counting.calls().len()
    }

    /// The value of a metric, written as Prometheus writes it: `postern_logins_total{outcome="succeeded"}`.
    pub async fn metric(&self, sample: &str) -> u64 {
        let text = self.metrics().await;
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().expect("a number")
    }

    /// All metrics.
    pub async fn metrics(&self) -> String {
        let answer = self.operations("/metrics").send().await;
        assert_eq!(answer.status, 200);
        String::from_utf8(answer.body.to_vec()).expect("UTF-8")
    }

    /// Sends bytes on a connection of its own and reads until the server closes it.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connection().await;
        stream.write_all(bytes).await.expect("the server takes it");
        let mut answer = Vec::new();
        // The server may reset a connection on which it has left something unread: what came before counts.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub async fn connection(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the server accepts")
    }
}

/// Writes a file that nobody else may read.
pub fn write_private(path: &Path, text: &str) {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a file");
}

impl Answer {
    /// The sentences of a refusal about one member.
    #[track_caller]
    pub fn expect_objections(self, member: &str) -> Vec<String> {
        let body = self.expect_problem(400, "validation_failed");
        let sentences = body["fields"][member].as_array().unwrap_or_else(|| panic!("{member}: {body}"));
        sentences.iter().map(|sentence| sentence.as_str().expect("a text").to_owned()).collect()
    }

    pub fn all_headers(&self) -> HashMap<&str, &str> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("a text"))).collect()
    }
}
