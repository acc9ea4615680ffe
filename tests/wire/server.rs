//! The program under attack, and whether it is well.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    client::{self, Answer, Connection},
    program::{Postern, Serving},
};

/// Longer than the answers take on a busy machine.
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
        // Whatever is logged at this level is a fault of ours. That the machine is busy is none.
        let directory = Postern::new().with("POSTERN_LOG", "error");
        let directory = directory.with("POSTERN_STORE_TIMEOUT", "30s").with("POSTERN_HASH_MAX_WAIT", "30s");
        let directory = settings.iter().fold(directory, |directory, (name, value)| directory.with(name, *value));
        let serving = directory.serve().await;
        assert!(serving.line.contains("embedded store"), "{}", serving.line);
        let server = Self { _directory: directory, serving };
        assert_eq!(server.ask(&sign_up(EMAIL, "first")).await.status, 201);
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

    /// How many sign-ups have been decided so far, whatever came of them, beside the one of the start.
    pub async fn sign_ups(&self) -> u64 {
        self.counted("postern_sign_ups_total{").await - 1
    }

    /// How many connections its public listener has accepted so far.
    pub async fn accepted(&self) -> u64 {
        self.counted("postern_http_connections_accepted_total{listener=\"public\"").await
    }

    /// The sum of the metrics that begin with this.
    async fn counted(&self, name: &str) -> u64 {
        let mut connection = self.connect_to_operations().await;
        connection.send("GET /metrics HTTP/1.1\r\nHost: postern.test\r\nConnection: close\r\n\r\n").await;
        let metrics = connection.until_closed().await.only().body;
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok()).expect("a count")).sum()
    }

    /// The memory that it holds, in bytes.
    pub fn memory(&self) -> u64 {
        self.serving.memory_bytes("VmRSS:")
    }

    /// Somebody new is answered, and somebody known logs in, each soon, on connections of their own; and so are the probes.
    pub async fn is_well(&self) {
        let begun = Instant::now();
        assert_eq!(self.ask(&client::get("/healthz", "well")).await.status, 200);
        let login = json!({"email": EMAIL, "password": PASSWORD}).to_string();
        assert_eq!(self.ask(&client::post("/token/", "well", &login)).await.status, 200);
        let mut probe = self.connect_to_operations().await;
        probe.send("GET /livez HTTP/1.1\r\nHost: postern.test\r\nConnection: close\r\n\r\n").await;
        assert_eq!(probe.until_closed().await.only().status, 200);
        assert!(begun.elapsed() < SOON, "the answers took {:?}", begun.elapsed());
    }

    /// The same, and then it ends as it should, with nothing to complain of.
    pub async fn survives(self) {
        self.is_well().await;
        let ended = self.serving.stopped().await;
        let complaints: Vec<_> = ended.stderr.lines().filter(|line| !line.contains(r#""message":"audit""#)).collect();
        assert_eq!((ended.code, ended.stdout.as_str(), complaints), (Some(0), "", vec![]));
    }

    async fn ask(&self, request: &str) -> Answer {
        let mut connection = self.connect().await;
        connection.send(request).await;
        connection.until_closed().await.only()
    }
}

/// A sign-up of somebody new.
pub fn sign_up(email: &str, id: &str) -> String {
    let body = json!({"name": "Ada Lovelace", "email": email, "password": PASSWORD});
    client::post("/create-user/", id, &body.to_string())
}
