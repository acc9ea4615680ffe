//! The service that clients of the fuzz targets speak to.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use postern::{
    accounts::{Accounts, Lifetimes, SessionOutagePolicy},
    api_keys::ApiClients,
    audit,
    clock::SystemClock,
    http::{self, Readiness, RequestLimits, TokenCheckConfig, routes},
    metrics::Metrics,
    passwords::{HashParameters, Hasher, HasherSettings, Policy},
    store::{instrumented_sessions, instrumented_users, sqlite::DataDirectory},
    tokens::{AccessFormat, AccessTokens, RefreshTokens},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Runtime,
};

use crate::{answers, keys, replaced, write_private};

const API_KEY: &str = "an-api-key-that-has-32-characters";

/// Longer than anything takes here.
const LONG: Duration = Duration::from_hours(24 * 365);

/// A service on an embedded store, and somebody who is signed in.
pub struct Served {
    runtime: Runtime,
    service: Arc<http::Service>,
    signed_in: SignedIn,
    /// How many have signed up.
    people: u32,
}

/// What somebody has who is signed in.
#[derive(Default)]
struct SignedIn {
    email: String,
    access: String,
    refresh: String,
    session: String,
}

/// What a service was asked on a connection, and what was sent back.
pub struct Conversation {
    /// The method of each request that it was asked, and the status of the answer.
    pub asked: Vec<(String, u16)>,
    /// Every byte that came back.
    pub sent: Vec<u8>,
}

impl Served {
    /// Starts a service on a store of its own.
    #[must_use]
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let accounts = {
            // Where the audit trail is written.
            let _within = runtime.enter();
            Arc::new(accounts())
        };
        let file = tempfile::tempdir().expect("a temporary directory").keep().join("api-keys");
        write_private(&file, format!("billing {API_KEY}\n").as_bytes());
        let operators = ApiClients::of_file(file, Arc::new(SystemClock)).expect("API keys can be read");
        let vouching =
            Arc::new(TokenCheckConfig { api_clients: operators, session_outage_policy: SessionOutagePolicy::Refuse });
        let limits = RequestLimits { request: Duration::from_mins(1), store: Duration::from_mins(1) };
        let service = http::Service::new(routes::public(), accounts, Arc::new(Readiness::default()), limits);
        let service = Arc::new(service.with_token_check(vouching));
        Self { runtime, service, signed_in: SignedIn::default(), people: 0 }
    }

    /// Sends bytes on a connection of their own, and hears the answers to its end. In them, `{email}` (25 characters), `{access}`,
    /// `{refresh}` (103), `{session}` (36) and `{api-key}` stand for what somebody has who is signed in, by the password
    /// `secure_password`.
    pub fn converse(&mut self, said: &[u8]) -> Conversation {
        if !said.contains(&b'{') {
            return self.send(said);
        }
        self.sign_in();
        let SignedIn { email, access, refresh, session } = &self.signed_in;
        let stand_ins = [
            ("{email}", email.as_str()),
            ("{access}", access),
            ("{refresh}", refresh),
            ("{session}", session),
            ("{api-key}", API_KEY),
        ];
        let said = stand_ins.iter().fold(said.to_owned(), |said, (name, value)| replaced(&said, name, value));
        self.send(&said)
    }

    fn send(&self, said: &[u8]) -> Conversation {
        self.runtime.block_on(converse(&self.service, said))
    }

    /// Somebody else signs up where the conversation before has signed somebody out, so that each stands for itself.
    fn sign_in(&mut self) {
        if self.ask("GET /profile/", &self.signed_in.access, "").is_some() {
            return;
        }
        self.people += 1;
        let email = format!("ada-{:09}@example.org", self.people);
        let body = json!({"name": "Ada Lovelace", "email": email, "password": "secure_password"}).to_string();
        let tokens = self.ask("POST /create-user/", "", &body).expect("a sign-up");
        let [access, refresh] = ["access", "refresh"].map(|name| tokens[name].as_str().expect("a token").to_owned());
        let sessions = self.ask("GET /sessions/", &access, "").expect("a list");
        let session = sessions["sessions"][0]["id"].as_str().expect("an id").to_owned();
        self.signed_in = SignedIn { email, access, refresh, session };
    }

    /// What is answered where all goes well.
    fn ask(&self, what: &str, access: &str, body: &str) -> Option<Value> {
        let length = body.len();
        let request = format!(
            "{what} HTTP/1.1\r\nAuthorization: Bearer {access}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let Conversation { sent, .. } = self.send(request.as_bytes());
        let answer = answers(&sent, &[what]).swap_remove(0);
        (answer.status < 300).then(|| serde_json::from_slice(&answer.body).expect("JSON"))
    }
}

async fn converse(service: &Arc<http::Service>, said: &[u8]) -> Conversation {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let answer = service_fn(|request: Request<Incoming>| {
        let (service, asked, method) = (Arc::clone(service), Arc::clone(&asked), request.method().to_string());
        async move {
            let answer = service.respond(request, SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000))).await;
            asked.lock().expect("nobody panics with the lock").push((method, answer.status().as_u16()));
            Ok::<_, Infallible>(answer)
        }
    });
    let (client, server) = tokio::io::duplex(1024);
    let (mut answers, mut requests) = tokio::io::split(client);
    let mut builder = http1::Builder::new();
    // A client that has said everything still hears the answers.
    builder.half_close(true).max_buf_size(32 * 1024).max_headers(64);
    let mut sent = Vec::new();
    let (_, _, _) = tokio::join!(
        builder.serve_connection(TokioIo::new(server), answer),
        async {
            // A server that has heard enough closes.
            let _ = requests.write_all(said).await;
            let _ = requests.shutdown().await;
        },
        answers.read_to_end(&mut sent),
    );
    let asked = std::mem::take(&mut *asked.lock().expect("nobody panics with the lock"));
    Conversation { asked, sent }
}

fn accounts() -> Accounts {
    let directory =
        DataDirectory::open(&tempfile::tempdir().expect("a temporary directory").keep()).expect("a directory");
    let lock = directory.lock().expect("nobody has the lock");
    let store = Arc::new(directory.store(&lock, Arc::new(SystemClock)).expect("the store opens"));
    let (keys, metrics) = (keys(), Arc::new(Metrics::new("paseto")));
    let named = || "postern".to_owned();
    let cheap = HashParameters { memory_kib: 8, passes: 1, lanes: 1 };
    let hashing = HasherSettings { parameters: cheap, threads: 1, max_wait: Duration::from_mins(1) };
    let settings = audit::Settings::keeping(None);
    let (audit, _) = audit::start(store.clone(), Arc::new(SystemClock), metrics.audit.clone(), settings);
    Accounts {
        audit,
        users: instrumented_users(store.clone(), metrics.store_calls.clone()),
        sessions: instrumented_sessions(store, metrics.store_calls.clone()),
        hasher: Hasher::start(hashing, metrics.hashing.clone()).expect("valid parameters"),
        policy: Policy { min_code_points: 8 },
        access_tokens: AccessTokens::new(Arc::clone(&keys), AccessFormat::Paseto, named(), named())
            .expect("short tokens"),
        refresh_tokens: RefreshTokens::new(keys),
        clock: Arc::new(SystemClock),
        lifetimes: Lifetimes { access: LONG, session: LONG, idle: None, published_keys: Duration::from_mins(5) },
        max_sessions: 100,
        // An input that failed often would leave the next ones 429 alone.
        limiter: None,
        rotation_enabled: true,
        metrics,
    }
}
