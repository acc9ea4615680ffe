//! A service with a signed-in user, for the fuzz targets that send requests.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use postern::{
    accounts::{Accounts, ImportedHashes, Lifetimes, SessionOutagePolicy, UserAdmin},
    api_keys::ApiClients,
    audit,
    clock::SystemClock,
    http::{self, Readiness, RequestLimits, TokenCheckConfig, UseCases, routes},
    metrics::Metrics,
    passwords::{HashParameters, Hasher, HasherSettings, Policy},
    rate_limit::LoginLimiter,
    store::{instrumented_sessions, instrumented_users, sqlite::DataDirectory},
    tokens::{AccessFormat, AccessTokens, RefreshTokens},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Runtime,
};

use crate::{keys, parse_responses, replaced, write_private};

const API_KEY: &str = "an-api-key-that-has-32-characters";

/// A key with the scope `admin`.
const ADMIN_KEY: &str = "an-admin-key-that-has-32-characters";

/// Longer than any run.
const LONG: Duration = Duration::from_hours(24 * 365);

/// A service on an embedded store, with a signed-in user.
pub struct TestService {
    runtime: Runtime,
    service: Arc<http::Service>,
    user: SignedInUser,
    sign_ups: u32,
}

/// The address, tokens, session and id of a signed-in user.
#[derive(Default)]
struct SignedInUser {
    email: String,
    access: String,
    refresh: String,
    session: String,
    id: String,
}

/// The requests and responses of a connection.
pub struct Exchange {
    /// The method of each request that reached the service, and the status of its response.
    pub requests: Vec<(String, u16)>,
    /// Every byte that the server sent.
    pub received: Vec<u8>,
}

impl TestService {
    /// Starts a service on a new store.
    ///
    /// # Panics
    /// Panics if the service cannot start.
    #[must_use]
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let use_cases = {
            // The writer of the audit trail is a task of this runtime.
            let _guard = runtime.enter();
            use_cases()
        };
        let file = tempfile::tempdir().expect("a temporary directory").keep().join("api-keys");
        write_private(&file, format!("billing {API_KEY}\nshop {ADMIN_KEY} admin\n").as_bytes());
        let api_clients = ApiClients::of_file(file, Arc::new(SystemClock)).expect("API keys");
        let token_check =
            Arc::new(TokenCheckConfig { api_clients, session_outage_policy: SessionOutagePolicy::Refuse });
        let limits = RequestLimits { request: Duration::from_mins(1), store: Duration::from_mins(1) };
        let router = routes::public().with(routes::admin());
        let service = http::Service::new(router, use_cases, Arc::new(Readiness::default()), limits);
        let service = Arc::new(service.with_token_check(token_check));
        Self { runtime, service, user: SignedInUser::default(), sign_ups: 0 }
    }

    /// Sends bytes on a new connection and reads the responses to its end. Replaces the placeholders `{email}` (25 characters),
    /// `{access}`, `{refresh}` (103), `{session}` (36) and `{user}` (36) by the values of a signed-in user, whose password is
    /// `secure_password`, and `{api-key}` and `{admin-key}` by keys for introspection and for the admin API.
    pub fn exchange(&mut self, bytes: &[u8]) -> Exchange {
        if !bytes.contains(&b'{') {
            return self.send(bytes);
        }
        self.ensure_signed_in();
        let SignedInUser { email, access, refresh, session, id } = &self.user;
        let placeholders = [
            ("{email}", email.as_str()),
            ("{access}", access),
            ("{refresh}", refresh),
            ("{session}", session),
            ("{user}", id),
            ("{api-key}", API_KEY),
            ("{admin-key}", ADMIN_KEY),
        ];
        let bytes = placeholders.iter().fold(bytes.to_owned(), |bytes, (name, value)| replaced(&bytes, name, value));
        self.send(&bytes)
    }

    fn send(&self, bytes: &[u8]) -> Exchange {
        self.runtime.block_on(exchange(&self.service, bytes))
    }

    /// Signs up a new user if the previous exchange ended the session, so that exchanges are independent.
    fn ensure_signed_in(&mut self) {
        if self.request("GET /profile/", &self.user.access, "").is_some() {
            return;
        }
        self.sign_ups += 1;
        let email = format!("ada-{:09}@example.org", self.sign_ups);
        let body = json!({"name": "Ada Lovelace", "email": email, "password": "secure_password"}).to_string();
        let tokens = self.request("POST /create-user/", "", &body).expect("a sign-up");
        let [access, refresh] = ["access", "refresh"].map(|name| tokens[name].as_str().expect("a token").to_owned());
        let sessions = self.request("GET /sessions/", &access, "").expect("a list");
        let session = sessions["sessions"][0]["id"].as_str().expect("an id").to_owned();
        let found = self.request(&format!("GET /admin/api/users/?email={email}"), ADMIN_KEY, "").expect("a page");
        let id = found["users"][0]["id"].as_str().expect("an id").to_owned();
        self.user = SignedInUser { email, access, refresh, session, id };
    }

    /// Sends a request and returns the body of its response, or `None` if the status is an error.
    fn request(&self, method_and_path: &str, access: &str, body: &str) -> Option<Value> {
        let length = body.len();
        let request = format!(
            "{method_and_path} HTTP/1.1\r\nAuthorization: Bearer {access}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let Exchange { received, .. } = self.send(request.as_bytes());
        let response = parse_responses(&received, &[method_and_path]).swap_remove(0);
        (response.status < 300).then(|| serde_json::from_slice(&response.body).expect("JSON"))
    }
}

async fn exchange(service: &Arc<http::Service>, bytes: &[u8]) -> Exchange {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let respond = service_fn(|request: Request<Incoming>| {
        let (service, requests, method) = (Arc::clone(service), Arc::clone(&requests), request.method().to_string());
        async move {
            let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
            let admission = service.admit(&request, peer).expect("no limit of memory");
            let response = service.respond(request, admission).await;
            requests.lock().expect("no panic under the lock").push((method, response.status().as_u16()));
            Ok::<_, Infallible>(response)
        }
    });
    // Space for all responses to an input: hyper closes the connection after its own 400 without waiting for space.
    let (client, server) = tokio::io::duplex(1024 * 1024);
    let (mut reader, mut writer) = tokio::io::split(client);
    let mut builder = http1::Builder::new();
    // The client closes its sending half and still reads the responses.
    builder.half_close(true).max_buf_size(32 * 1024).max_headers(64);
    let mut received = Vec::new();
    let (_, (), _) = tokio::join!(
        builder.serve_connection(TokioIo::new(server), respond),
        async {
            // Fails if the server closes the connection early.
            let _ = writer.write_all(bytes).await;
            let _ = writer.shutdown().await;
        },
        reader.read_to_end(&mut received),
    );
    let requests = std::mem::take(&mut *requests.lock().expect("no panic under the lock"));
    Exchange { requests, received }
}

fn use_cases() -> UseCases {
    let directory =
        DataDirectory::open(&tempfile::tempdir().expect("a temporary directory").keep()).expect("a directory");
    let lock = directory.lock().expect("a free lock");
    let store = Arc::new(directory.store(&lock, Arc::new(SystemClock)).expect("a store"));
    let (keys, metrics) = (keys(), Arc::new(Metrics::new("paseto")));
    let name = || "postern".to_owned();
    let cheap = HashParameters { memory_kib: 8, passes: 1, lanes: 1 };
    let hashing = HasherSettings { parameters: cheap, threads: 1, max_wait: Duration::from_mins(1) };
    let settings = audit::Settings::keeping(None);
    let (audit, _) = audit::start(store.clone(), Arc::new(SystemClock), metrics.audit.clone(), settings);
    let accounts = Accounts {
        audit,
        events: store.clone(),
        users: instrumented_users(store.clone(), metrics.store_calls.clone()),
        sessions: instrumented_sessions(store.clone(), metrics.store_calls.clone()),
        hasher: Arc::new(Hasher::start(hashing, metrics.hashing.clone()).expect("valid parameters")),
        imported_hashes: ImportedHashes::accepted_until(None, Arc::new(SystemClock), metrics.hashing.clone()),
        policy: Policy { min_code_points: 8 },
        access_tokens: AccessTokens::new(Arc::clone(&keys), AccessFormat::Paseto, name(), name())
            .expect("short tokens"),
        refresh_tokens: RefreshTokens::new(keys),
        clock: Arc::new(SystemClock),
        lifetimes: Lifetimes { access: LONG, session: LONG, idle: None, published_keys: Duration::from_mins(5) },
        max_sessions: 100,
        // Otherwise the responses after many failures are all 429.
        limiter: LoginLimiter::unlimited(),
        rotation_enabled: true,
        metrics,
    };
    let user_admin = UserAdmin {
        users: Arc::clone(&accounts.users),
        directory: store.clone(),
        changes: store.clone(),
        events: store,
        sessions: Some(Arc::clone(&accounts.sessions)),
        hasher: Arc::clone(&accounts.hasher),
        policy: accounts.policy,
        clock: Arc::clone(&accounts.clock),
        audit: accounts.audit.clone(),
    };
    UseCases { accounts: Arc::new(accounts), user_admin: Arc::new(user_admin) }
}
