//! A service in the test's own process, on a backend of its own: one server, or several that share stores and keys.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    ops::Deref,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

use postern::{
    accounts::{Accounts, UserAdmin},
    api_keys::ApiClients,
    audit::WriterHandle,
    clock::{Clock, ManualClock},
    http::{self, AdminListener, Readiness, Router, TokenCheckConfig, UseCases, routes},
    keys::LiveKeyring,
    model::{AuditEvent, EventKind, EventPageQuery, PasswordHash, Role, User},
    passwords::{Password, WorkPermit},
    server::{self, ConnectionLimits, ConnectionTimeouts, ListenerConfig, Phase},
    store::{AuditReader, AuditStore, read_events},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    API_KEY, Api, Backend, CountingStores, LONG, PASSWORD, RequestBuilder, Response, Settings, Stores, TestUser,
    assemble, connect_from, eventually_some, new_keys, sample, time, until_closed,
};

/// The parts that all servers of a service share.
struct Shared<B> {
    backend: B,
    keys: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

/// A server on its backend, alone or beside others.
pub struct Service<B> {
    shared: Arc<Shared<B>>,
    server: Server,
}

/// One server: its addresses and its parts.
#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    operations: SocketAddr,
    pub accounts: Arc<Accounts>,
    pub readiness: Arc<Readiness>,
    pub counting: Arc<CountingStores>,
    pub keys: Arc<LiveKeyring>,
    pub audit: Arc<dyn AuditStore>,
    events: Arc<dyn AuditReader>,
    user_admin: Arc<UserAdmin>,
    /// Writes the audit trail while it lives.
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
        Self::start_on(B::empty().await, settings).await
    }

    /// Starts a server on a backend that may have users.
    pub async fn start_on(backend: B, settings: Settings) -> Self {
        let keys = tempfile::tempdir().expect("a temporary directory");
        let clock = Arc::new(ManualClock::default());
        new_keys(keys.path(), &clock);
        write_private(&keys.path().join("api-keys"), &format!("billing {API_KEY}\n"));
        let shared = Arc::new(Shared { backend, keys, clock });
        let server = Server::start(&shared, settings).await;
        Self { shared, server }
    }

    /// Starts another server with the same stores and keys.
    pub async fn second(&self) -> Self {
        self.second_with(Settings::default()).await
    }

    /// Starts another server with the same stores and keys, and with these settings.
    pub async fn second_with(&self, settings: Settings) -> Self {
        let shared = Arc::clone(&self.shared);
        let server = Server::start(&shared, settings).await;
        Self { shared, server }
    }

    pub fn backend(&self) -> &B {
        &self.shared.backend
    }

    /// Returns the use cases of an administrator on the same stores.
    pub fn user_admin(&self) -> Arc<UserAdmin> {
        Arc::clone(&self.server.user_admin)
    }

    /// The directory of the keys that all servers of the service share.
    pub fn keys_directory(&self) -> &Path {
        self.shared.keys.path()
    }

    /// Returns the time by the clock of the service.
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
        let stores = shared.backend.open(Arc::clone(&clock)).await;
        let keys = Arc::new(LiveKeyring::open(shared.keys.path()).expect("keys can be read"));
        let counting = Arc::new(CountingStores::new(stores.users, stores.sessions));
        let (audit, events) = (Arc::clone(&stores.audit), Arc::clone(&stores.audit_reader));
        let stores = Stores { users: counting.clone(), sessions: counting.clone(), ..stores };
        let (use_cases, writing) = assemble(stores, &keys, Arc::clone(&clock), &settings);
        let readiness = Arc::new(Readiness::default());
        let api_clients =
            ApiClients::of_file(shared.keys.path().join("api-keys"), clock).expect("API keys can be read");
        let token_checks =
            Arc::new(TokenCheckConfig { api_clients, session_outage_policy: settings.session_outage_policy });
        let (phase, followed) = watch::channel(Phase::Serving);
        let mut addresses = Vec::new();
        let with_admin = |router: Router, listener| {
            if settings.admin_listener == listener { router.with(routes::admin()) } else { router }
        };
        for router in [
            with_admin(routes::public(), AdminListener::Public),
            with_admin(routes::operations(), AdminListener::Operations),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            addresses.push(listener.local_addr().expect("an address"));
            let service = http::Service::new(router, use_cases.clone(), Arc::clone(&readiness), settings.limits)
                .with_token_check(Arc::clone(&token_checks))
                .with_admin_access(settings.admin_access.clone());
            // As in `main`, the first one is public.
            let is_public = addresses.len() == 1;
            let trusted_proxies = || settings.trusted_proxies.parse().expect("networks");
            let public = |service: http::Service| {
                service.with_cors(settings.cors.clone()).with_trusted_proxies(trusted_proxies())
            };
            let service = if is_public { public(service) } else { service };
            let limits = ConnectionLimits {
                max_connections: settings.connections,
                timeouts: settings
                    .timeouts
                    .unwrap_or(ConnectionTimeouts::of(settings.limits.request, Duration::from_secs(75))),
                max_age: settings.connection_age,
            };
            let config = ListenerConfig { listener, service: Arc::new(service), limits, tls: None };
            tokio::spawn(server::serve(config, followed.clone()));
        }
        let UseCases { accounts, user_admin } = use_cases;
        let (phase, writing) = (Arc::new(phase), Arc::new(writing));
        let (address, operations) = (addresses[0], addresses[1]);
        Self {
            address,
            operations,
            accounts,
            readiness,
            counting,
            keys,
            audit,
            events,
            user_admin,
            _writing: writing,
            phase,
        }
    }

    /// Starts to drain: each response asks its client to close.
    pub fn leave(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// Stops accepting connections, and lets existing ones end.
    pub fn stop(&self) {
        self.phase.send_replace(Phase::Closing);
    }

    pub fn api(&self) -> Api {
        Api(self.address)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.api().get(path)
    }

    pub fn post(&self, path: &str, body: Value) -> RequestBuilder {
        self.api().post(path, body)
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.api().request(method, path)
    }

    /// Introspects a token as a known API client.
    pub async fn introspect(&self, token: &str) -> Response {
        self.api().introspect(token).await
    }

    /// The address of the operations listener.
    pub fn operations_address(&self) -> SocketAddr {
        self.operations
    }

    /// A request to the operations listener.
    pub fn operations(&self, path: &str) -> RequestBuilder {
        RequestBuilder::operations(self.operations, path)
    }

    /// A request to the admin API on the operations listener.
    pub fn admin(&self, method: &str, path: &str) -> RequestBuilder {
        RequestBuilder::new(self.operations, method, &format!("/admin/api/{path}"))
    }

    /// Creates an administrator, and logs in.
    pub async fn administrator(&self, email: &str) -> TestUser {
        let (permit, password) = (WorkPermit::for_command_line(), Password::new(PASSWORD));
        let hash = self.accounts.hasher.hash(&permit, &password).await.expect("a hash");
        let (address, name) = (email.parse().expect("an address"), "Grace Hopper".parse().expect("a name"));
        let user = User::new(address, name, Some(hash), self.accounts.clock.now());
        self.insert(&User { role: Role::Administrator, ..user }).await;
        self.logged_in(email, PASSWORD).await
    }

    pub async fn sign_up(&self, email: &str) -> Response {
        self.api().sign_up(email).send().await
    }

    pub async fn log_in(&self, email: &str, password: &str) -> Response {
        self.api().log_in(email, password).send().await
    }

    pub async fn signed_up(&self, email: &str) -> TestUser {
        TestUser::new(self.api(), email, &self.sign_up(email).await.expect(201))
    }

    pub async fn logged_in(&self, email: &str, password: &str) -> TestUser {
        TestUser::new(self.api(), email, &self.log_in(email, password).await.expect(200))
    }

    /// Returns the user as stored.
    pub async fn user(&self, email: &str) -> User {
        let email = email.parse().expect("a valid address");
        self.counting.users.by_email(&email, &time()).await.expect("a response").expect("a user")
    }

    /// Inserts a user that no sign-up would create.
    pub async fn insert(&self, user: &User) {
        self.counting.users.insert(user, &time()).await.expect("a response");
    }

    /// Returns the parameters of the stored hash of a user: `m=8,t=1,p=1`.
    pub async fn hash_parameters(&self, email: &str) -> String {
        let hash = self.user(email).await.password.expect("a password");
        PasswordHash::as_phc(&hash).split('$').nth(3).expect("parameters").to_owned()
    }

    /// Waits for this many audit events of all servers, and returns them oldest first.
    pub async fn audited(&self, count: usize) -> Vec<AuditEvent> {
        self.audited_by(EventPageQuery::default(), count).await
    }

    /// Waits for an audit event of this kind, and returns all of them.
    pub async fn audited_of(&self, kind: EventKind) -> Vec<AuditEvent> {
        self.audited_by(EventPageQuery { kind: Some(kind), ..EventPageQuery::default() }, 1).await
    }

    async fn audited_by(&self, query: EventPageQuery, count: usize) -> Vec<AuditEvent> {
        eventually_some(LONG, "the audit events", async || {
            let mut events = read_events(&*self.events, query.clone(), 10_000, &time()).await.expect("a response");
            events.reverse();
            (events.len() >= count).then_some(events)
        })
        .await
    }

    /// Returns the number of calls of this server to its stores.
    pub fn store_calls(&self) -> usize {
        self.counting.calls().len()
    }

    /// Returns a sample of the metrics: `postern_logins_total{outcome="succeeded"}`.
    pub async fn metric(&self, name: &str) -> u64 {
        sample(&self.metrics().await, name)
    }

    /// Returns all metrics.
    pub async fn metrics(&self) -> String {
        let response = self.operations("/metrics").send().await;
        assert_eq!(response.status, 200);
        String::from_utf8(response.body.to_vec()).expect("UTF-8")
    }

    /// Sends bytes on a new connection, and returns everything until the server closes it.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connection().await;
        stream.write_all(bytes).await.expect("the server takes it");
        until_closed(&mut stream).await
    }

    /// Connects from this address of the machine.
    pub async fn connection_from(&self, source: IpAddr) -> TcpStream {
        connect_from(source, self.address).await
    }

    pub async fn connection(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the server accepts")
    }
}

/// Writes a file with mode 0600.
pub fn write_private(path: &Path, text: &str) {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a file");
}

impl Response {
    /// Returns the messages of a validation error about one field.
    #[track_caller]
    pub fn expect_field_errors(self, field: &str) -> Vec<String> {
        let body = self.expect_problem(400, "validation_failed");
        let sentences = body["fields"][field].as_array().unwrap_or_else(|| panic!("{field}: {body}"));
        sentences.iter().map(|sentence| sentence.as_str().expect("a text").to_owned()).collect()
    }

    pub fn all_headers(&self) -> HashMap<&str, &str> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("a text"))).collect()
    }
}
