//! The Postern process that is flooded.

use std::{os::fd::AsFd as _, str::FromStr};

use tokio::{io, net::unix::pipe, process::Command, task::spawn_local};

use crate::support::{Cgroup, Postern, Serving, is_set, variable};

/// The program to flood.
#[derive(Default)]
pub struct Program {
    /// Its path; `None` for the one that is built with this bench.
    pub path: Option<String>,
    /// The tenths of CPUs that it may use; `None` for no quota.
    pub cpu_tenths: Option<u32>,
}

impl Program {
    fn command(&self, cgroup: Option<&Cgroup>, arguments: &[&str]) -> Command {
        let path = self.path.as_deref().unwrap_or(env!("CARGO_BIN_EXE_postern"));
        let Some(cgroup) = cgroup else {
            let mut command = Command::new(path);
            command.args(arguments);
            return command;
        };
        cgroup.command_of(path, arguments)
    }
}

/// A running server. When it is dropped, the process is stopped and its directory removed.
pub struct Server {
    _directory: Postern,
    pub serving: Serving,
    /// The names of its stores.
    pub stores: &'static str,
    /// After the process, because only an empty control group can be removed.
    _cgroup: Option<Cgroup>,
}

impl Server {
    /// Starts a server on the stores of `scripts/with-stores` if they run, and else on the embedded store.
    pub async fn start(program: &Program) -> Self {
        let cgroup = program.cpu_tenths.and_then(Cgroup::with_cpu_tenths);
        if program.cpu_tenths.is_some() && cgroup.is_none() {
            println!("no CPU quota: this process may not create control groups");
        }
        let stores = [("DATABASE_URL", "POSTERN_TEST_DATABASE_URL"), ("REDIS_URL", "POSTERN_TEST_REDIS_URL")];
        let is_embedded = stores.iter().any(|(_, name)| !is_set(name));
        let mut postern = Postern::new();
        // Unlike tests, a flood uses the default hashing settings.
        postern.environment.retain(|(name, _)| name.ends_with("LISTEN"));
        let postern = postern
            .with("POSTERN_KEYS_DIR", "postern-data/keys")
            .with("POSTERN_ACCESS_TTL", "1h")
            .with("POSTERN_LOG", "error");
        if is_embedded {
            let serving = postern.serve_by(program.command(cgroup.as_ref(), &["serve"])).await;
            discard_log(&serving);
            return Self { _directory: postern, serving, stores: "embedded store", _cgroup: cgroup };
        }
        let postern =
            stores.into_iter().fold(postern, |postern, (setting, name)| postern.with(setting, variable(name)));
        let postern = postern.with_keys().await;
        let serving = postern.serve_by(program.command(cgroup.as_ref(), &["serve", "--migrate"])).await;
        discard_log(&serving);
        Self { _directory: postern, serving, stores: "PostgreSQL and Redis", _cgroup: cgroup }
    }

    /// Signs a user up and returns the access token.
    pub async fn sign_up(&self, email: &str) -> String {
        self.serving.signed_up(email).await.access
    }

    /// Returns the number of hashing threads.
    pub async fn threads(&self) -> usize {
        self.metric("postern_hashing_threads").await
    }

    /// Returns the number of hashes since the start.
    pub async fn hashes(&self) -> f64 {
        self.metric(r#"postern_hashing_duration_seconds_count{work="hash"}"#).await
    }

    async fn metric<T: FromStr>(&self, name: &str) -> T {
        self.serving.metric(name).await
    }

    /// Returns the peak memory of the process, in MiB.
    pub fn peak_mebibytes(&self) -> u64 {
        self.serving.peak_memory_bytes() >> 20
    }
}

/// Reads the log for as long as the server runs: it has a line for each failed login, and a full pipe would stall the server.
fn discard_log(serving: &Serving) {
    let log = serving.log.get_ref().as_fd().try_clone_to_owned().expect("a file descriptor");
    let mut log = pipe::Receiver::from_owned_fd(log).expect("a pipe");
    spawn_local(async move { io::copy(&mut log, &mut io::sink()).await });
}
