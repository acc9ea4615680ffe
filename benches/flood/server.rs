//! The Postern process that is flooded.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    str::FromStr,
    time::Instant,
};

use crate::load::{Connections, RequestTemplate};

/// A running server. When it is dropped, the process is stopped and its directory removed.
pub struct Server {
    process: Child,
    _directory: tempfile::TempDir,
    /// The names of its stores.
    pub stores: &'static str,
    pub public: SocketAddr,
    operations: SocketAddr,
}

impl Server {
    /// Starts a server on the stores of `scripts/with-stores` if they run, and else on the embedded store.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let stores = [("DATABASE_URL", "POSTERN_TEST_DATABASE_URL"), ("REDIS_URL", "POSTERN_TEST_REDIS_URL")];
        let stores = stores.map(|(setting, variable)| Some((setting, store_url(variable)?)));
        let common = [
            ("POSTERN_LISTEN", "127.0.0.1:0"),
            ("POSTERN_OPS_LISTEN", "127.0.0.1:0"),
            ("POSTERN_KEYS_DIR", "postern-data/keys"),
            ("POSTERN_ACCESS_TTL", "1h"),
            ("POSTERN_LOG", "error"),
        ];
        let command = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
            // The caller's environment may name stores that are in use.
            command.args(arguments).current_dir(directory.path()).env_clear().envs(common);
            command.envs(stores.iter().flatten().map(|(setting, url)| (setting, url)));
            command.stdout(Stdio::piped());
            command
        };
        let is_embedded = stores.iter().any(Option::is_none);
        if !is_embedded {
            assert!(command(&["keys", "generate"]).status().expect("a process").success());
        }
        let arguments: &[&str] = if is_embedded { &["serve"] } else { &["serve", "--migrate"] };
        let mut process = command(arguments).spawn().expect("a process");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let words = line.split(|character: char| !(character.is_ascii_digit() || ".:".contains(character)));
        let addresses: Vec<SocketAddr> = words.filter_map(|word| word.parse().ok()).collect();
        let [public, operations, ..] = addresses[..] else { panic!("two addresses: {line:?}") };
        let stores = if is_embedded { "embedded store" } else { "PostgreSQL and Redis" };
        Self { process, _directory: directory, stores, public, operations }
    }

    /// Signs a user up and returns the access token.
    pub async fn sign_up(&self, email: &str) -> String {
        let connections = Connections::open(self.public, 1).await;
        let response = connections.send(&sign_up(email), Instant::now()).await;
        assert_eq!(response.status, 201, "{:?}", response.body);
        let body: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
        body["access"].as_str().expect("a token").to_owned()
    }

    /// Returns the number of hashing threads.
    pub async fn threads(&self) -> usize {
        self.metric("postern_hashing_threads").await
    }

    /// Returns the number of hashes since the start.
    pub async fn hashes(&self) -> f64 {
        self.metric(r#"postern_hashing_duration_seconds_count{work="hash"}"#).await
    }

    /// Returns the value of a sample, by the text of its name and labels.
    async fn metric<T: FromStr>(&self, sample: &str) -> T {
        let connections = Connections::open(self.operations, 1).await;
        let template = RequestTemplate { method: "GET", path: "/metrics", bearer: String::new(), body: String::new() };
        let response = connections.send(&template, Instant::now()).await;
        let text = String::from_utf8_lossy(&response.body).into_owned();
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{sample}: {text}"))
    }

    /// Returns the peak memory of the process, in MiB.
    pub fn peak_mebibytes(&self) -> f64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("the status of a running process");
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak.map(|kibibytes: f64| kibibytes / 1024.0).expect("a peak")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn sign_up(email: &str) -> RequestTemplate {
    let body = format!(r#"{{"name":"Ada Lovelace","email":"{email}","password":"secure_password"}}"#);
    RequestTemplate { method: "POST", path: "/create-user/", bearer: String::new(), body }
}

fn store_url(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "scripts/with-stores sets it; it is not a setting of the service")]
    std::env::var(name).ok()
}
