//! The program under attack, and checks that it still serves other clients.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use crate::{
    client::Connection,
    support::{Cgroup, PASSWORD, Postern, Serving},
};

/// Longer than the responses take, even on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// The email of the user.
pub const EMAIL: &str = "ada@example.org";

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
        let directory = Self::directory(settings);
        Self::of(directory.serve_by(directory.command(&["serve"])).await, directory).await
    }

    /// Starts a server in a control group.
    pub async fn start_in(cgroup: &Cgroup, settings: &[(&'static str, &str)]) -> Self {
        let directory = Self::directory(settings);
        Self::of(directory.serve_by(cgroup.command(&["serve"])).await, directory).await
    }

    fn directory(settings: &[(&'static str, &str)]) -> Postern {
        // A log line at this level is a bug. Long store and hashing limits keep a busy machine from causing one.
        let directory = Postern::new().with("POSTERN_LOG", "error");
        let directory = directory.with("POSTERN_STORE_TIMEOUT", "30s").with("POSTERN_HASH_MAX_WAIT", "30s");
        settings.iter().fold(directory, |directory, (name, value)| directory.with(name, *value))
    }

    async fn of(serving: Serving, directory: Postern) -> Self {
        assert!(serving.line.contains("embedded store"), "{}", serving.line);
        serving.signed_up(EMAIL).await;
        Self { _directory: directory, serving }
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(self.serving.public).await
    }

    /// Connects from another address of this machine.
    pub async fn connect_from(&self, source: IpAddr) -> Connection {
        Connection::open_from(source, self.serving.public).await
    }

    pub async fn connect_to_operations(&self) -> Connection {
        Connection::open(self.serving.operations).await
    }

    /// The address of the public listener.
    pub fn address(&self) -> SocketAddr {
        self.serving.public
    }

    /// Returns the number of sign-ups decided so far, successful or not, without the one in `start`.
    pub async fn sign_ups(&self) -> u64 {
        self.counted("postern_sign_ups_total{").await - 1
    }

    /// Returns the number of connections that the public listener has accepted.
    pub async fn accepted(&self) -> u64 {
        self.counted("postern_http_connections_accepted_total{listener=\"public\"").await
    }

    /// Returns the number of requests in flight, without the one that reads it.
    pub async fn in_flight(&self) -> u64 {
        self.counted("postern_http_requests_in_flight ").await.saturating_sub(1)
    }

    /// Returns the sum of the samples whose names and labels begin with `prefix`.
    async fn counted(&self, prefix: &str) -> u64 {
        let metrics = self.serving.metrics().await;
        let samples = metrics.lines().filter(|line| line.starts_with(prefix));
        samples.map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok()).expect("a count")).sum()
    }

    /// Returns the number of request bodies that were ended for others.
    pub async fn ended_bodies(&self) -> u64 {
        self.counted("postern_request_bodies_ended_total ").await
    }

    /// Returns the bytes that connections and requests are charged for, and their limit.
    pub async fn request_memory(&self) -> (u64, u64) {
        let held = self.counted("postern_request_memory_bytes ").await;
        (held, self.counted("postern_request_memory_limit_bytes ").await)
    }

    /// Returns the peak of the resident memory in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.serving.peak_memory_bytes()
    }

    /// Returns the resident memory in bytes.
    pub fn memory(&self) -> u64 {
        self.serving.memory_bytes("VmRSS:")
    }

    /// Asserts that a request, a login and a probe, each on a new connection, get their responses within [`SOON`].
    pub async fn expect_healthy(&self) {
        let begun = Instant::now();
        let api = self.serving.api();
        api.get("/healthz").send().await.expect(200);
        api.log_in(EMAIL, PASSWORD).send().await.expect(200);
        self.serving.probe("/livez").send().await.expect(200);
        assert!(begun.elapsed() < SOON, "the responses took {:?}", begun.elapsed());
    }

    /// Asserts the same, and that the server stops cleanly with no line in its log.
    pub async fn expect_clean_stop(self) {
        self.expect_healthy().await;
        let ended = self.serving.stopped().await;
        let log: Vec<_> = ended.stderr.lines().filter(|line| !line.contains(r#""message":"audit""#)).collect();
        assert_eq!((ended.code, ended.stdout.as_str(), log), (Some(0), "", vec![]));
    }
}
