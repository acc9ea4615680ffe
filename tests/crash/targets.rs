//! The stores of a server, and the crash that they can be armed with.

use std::{os::unix::process::ExitStatusExt as _, path::PathBuf};

use rustix::process::Signal;
use tokio::{net::TcpListener, task::JoinSet};

use crate::disk::Disk;
use crate::fault_gate::FaultGate;
use crate::support::{LONG, Postern, Serving, authority, empty_schema, redis_url, relay, within};

/// Stores for one server after the other, which can be armed with a crash.
pub trait CrashTarget {
    async fn new() -> Self;

    fn postern(&self) -> &Postern;

    /// Arms it: the process is killed at this point, counted from 1 from now on.
    fn arm(&self, point: usize);

    /// Disarms it: no process is killed any more.
    fn disarm(&self);

    /// Waits until the process has been killed.
    async fn killed(&self, serving: &mut Serving);

    /// Starts a server, and waits until it is ready.
    async fn serve(&self) -> Serving {
        let serving = self.postern().serve().await;
        serving.ready().await;
        serving
    }
}

/// The program with rotating refresh tokens, and limits for a busy machine.
pub fn postern() -> Postern {
    Postern::new()
        .with("POSTERN_REFRESH_ROTATION", "on")
        .with("POSTERN_STORE_TIMEOUT", "30s")
        .with("POSTERN_HASH_MAX_WAIT", "30s")
        // Nothing reads the log, and a full pipe would block its writers.
        .with("POSTERN_LOG", "off")
}

/// The same with its data in `data`, by an absolute path.
pub fn postern_with_data() -> Postern {
    let postern = postern();
    let data = data_of(&postern).to_str().expect("a text").to_owned();
    postern.with("POSTERN_DATA_DIR", data)
}

/// Returns that data directory.
pub fn data_of(postern: &Postern) -> PathBuf {
    postern.directory.path().canonicalize().expect("a directory").join("data")
}

/// The embedded store, on a disk that fails on command.
pub struct Embedded {
    postern: Postern,
    disk: Disk,
}

impl CrashTarget for Embedded {
    async fn new() -> Self {
        let disk = Disk::new().await;
        Self { postern: disk.under(postern_with_data()), disk }
    }

    fn postern(&self) -> &Postern {
        &self.postern
    }

    fn arm(&self, point: usize) {
        self.disk.kill_at(point);
    }

    fn disarm(&self) {
        self.disk.spare();
    }

    async fn killed(&self, serving: &mut Serving) {
        let status = within(LONG, "the server is killed", serving.child.wait()).await.expect("a status");
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "it ended by itself: {status}");
    }
}

/// PostgreSQL and Redis, behind a fault gate.
pub struct Servers {
    postern: Postern,
    /// The URL of PostgreSQL without the gate.
    pub database: String,
    pub gate: FaultGate,
    _relays: JoinSet<()>,
}

impl Servers {
    /// With an empty PostgreSQL.
    pub async fn empty() -> Self {
        let (database, redis) = (empty_schema().await, redis_url());
        let (gate, mut relays) = (FaultGate::new(), JoinSet::new());
        let mut behind_gate = async |url: &str| {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("an address").to_string();
            relays.spawn(relay(listener, authority(url).to_owned(), gate.clone()));
            url.replacen(authority(url), &address, 1)
        };
        let postern = postern()
            .with("DATABASE_URL", behind_gate(&database).await)
            .with("REDIS_URL", behind_gate(&redis).await)
            .with("POSTERN_KEYS_DIR", "keys");
        Self { postern, database, gate, _relays: relays }
    }
}

impl CrashTarget for Servers {
    async fn new() -> Self {
        let servers = Self::empty().await;
        Self { postern: servers.postern.with_keys().await.migrated().await, ..servers }
    }

    fn postern(&self) -> &Postern {
        &self.postern
    }

    fn arm(&self, point: usize) {
        self.gate.hold_at(point);
    }

    fn disarm(&self) {
        self.gate.open();
    }

    async fn killed(&self, serving: &mut Serving) {
        self.gate.reached().await;
        serving.signal(Signal::KILL);
        within(LONG, "the server ends", serving.child.wait()).await.expect("a status");
    }
}
