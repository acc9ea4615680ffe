//! The program under attack, and checks that it still serves other clients.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    client::{self, Connection, Response},
    program::{Postern, Serving},
};

/// Longer than the responses take, even on a busy machine.
const SOON: Duration = Duration::from_secs(10);

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "correct horse battery staple";

/// A server with one user.
pub struct Server {
    _directory: Postern,
    serving: Serving,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(settings: &[(&'static str, &str)]) -> Self {
        // A log line at this level is a bug. Long store and hashing limits keep a busy machine from causing one.
        let directory = Postern::new().with("POSTERN_LOG", "error");
        let directory = directory.with("POSTERN_STORE_TIMEOUT", "30s").with("POSTERN_HASH_MAX_WAIT", "30s");
        let directory = settings.iter().fold(directory, |directory, (name, value)| directory.with(name, *value));
        let serving = directory.serve().await;
        assert!(serving.line.contains("embedded store"), "{}", serving.line);
        let server = Self { _directory: directory, serving };
        assert_eq!(server.send(&sign_up(EMAIL, "first")).await.status, 201);
        server
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(self.serving.public).await
    }

    pub async fn connect_to_operations(&self) -> Connection {
        Connection::open(self.serving.operations).await
    }

    /// The address of the public listener.
    pub fn address(&self) -> std::net::SocketAddr {
        self.serving.public
    }

    /// Returns the number of sign-ups decided so far, successful or not, without the one in `start`.
    pub async fn sign_ups(&self) -> u64 {
        self.metric("postern_sign_ups_total{").await - 1
    }

    /// Returns the number of connections that the public listener has accepted.
    pub async fn accepted(&self) -> u64 {
        self.metric("postern_http_connections_accepted_total{listener=\"public\"").await
    }

    /// Returns the sum of the metrics whose names begin with `name`.
    async fn metric(&self, name: &str) -> u64 {
        let mut connection = self.connect_to_operations().await;
        connection.send("GET /metrics HTTP/1.1\r\nHost: postern.test\r\nConnection: close\r\n\r\n").await;
        let metrics = connection.until_closed().await.only().body;
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok()).expect("a count")).sum()
    }

    /// Returns the resident memory in bytes.
    pub fn memory(&self) -> u64 {
        self.serving.memory_bytes("VmRSS:")
    }

    /// Asserts that a request, a login and a probe, each on a new connection, get their responses within [`SOON`].
    pub async fn expect_healthy(&self) {
        let begun = Instant::now();
        assert_eq!(self.send(&client::get("/healthz", "well")).await.status, 200);
        let login = json!({"email": EMAIL, "password": PASSWORD}).to_string();
        assert_eq!(self.send(&client::post("/token/", "well", &login)).await.status, 200);
        let mut probe = self.connect_to_operations().await;
        probe.send("GET /livez HTTP/1.1\r\nHost: postern.test\r\nConnection: close\r\n\r\n").await;
        assert_eq!(probe.until_closed().await.only().status, 200);
        assert!(begun.elapsed() < SOON, "the responses took {:?}", begun.elapsed());
    }

    /// Asserts the same, and that the server stops cleanly with no line in its log.
    pub async fn expect_clean_stop(self) {
        self.expect_healthy().await;
        let ended = self.serving.stopped().await;
        let log: Vec<_> = ended.stderr.lines().filter(|line| !line.contains(r#""message":"audit""#)).collect();
        assert_eq!((ended.code, ended.stdout.as_str(), log), (Some(0), "", vec![]));
    }

    async fn send(&self, request: &str) -> Response {
        let mut connection = self.connect().await;
        connection.send(request).await;
        connection.until_closed().await.only()
    }
}

/// Returns a sign-up request.
pub fn sign_up(email: &str, id: &str) -> String {
    let body = json!({"name": "Ada Lovelace", "email": email, "password": PASSWORD});
    client::post("/create-user/", id, &body.to_string())
}
