//! Where a server keeps its accounts, and what strikes it there.

use std::{os::unix::process::ExitStatusExt as _, path::PathBuf};

use rustix::process::Signal;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    asking::Asking,
    disk::Disk,
    program::{Postern, Serving},
    relay::{authority, relay},
    servers::{empty_schema, redis_url},
    toll::Toll,
};

/// A place for one server after the other.
pub trait Place {
    async fn new() -> Self;

    fn postern(&self) -> &Postern;

    /// Has the process killed at this moment, counted from 1 from now on.
    fn strike_at(&self, moment: usize);

    /// Nobody is killed any more.
    fn rest(&self);

    /// Waits until the process has been killed.
    async fn struck(&self, serving: &mut Serving);

    /// A server that has met its stores.
    async fn serve(&self) -> Serving {
        let serving = self.postern().serve().await;
        while Asking::operations(serving.operations, "/readyz").send().await.status != 200 {}
        serving
    }
}

/// The program with refresh tokens that rotate, for a machine that is busy.
pub fn postern() -> Postern {
    Postern::new()
        .with("POSTERN_REFRESH_ROTATION", "on")
        .with("POSTERN_STORE_TIMEOUT", "30s")
        .with("POSTERN_HASH_MAX_WAIT", "30s")
        // Nobody reads the log, and what is not read would hold up its writers.
        .with("POSTERN_LOG", "off")
}

/// The same with its data in the directory `data`, by an absolute path.
pub fn postern_with_data() -> Postern {
    let postern = postern();
    let data = data_of(&postern).to_str().expect("a text").to_owned();
    postern.with("POSTERN_DATA_DIR", data)
}

/// The data directory of that one.
pub fn data_of(postern: &Postern) -> PathBuf {
    postern.directory.path().canonicalize().expect("a directory").join("data")
}

/// One directory, on a disk that can be told to fail.
pub struct Embedded {
    postern: Postern,
    disk: Disk,
}

impl Place for Embedded {
    async fn new() -> Self {
        let disk = Disk::new().await;
        Self { postern: disk.under(postern_with_data()), disk }
    }

    fn postern(&self) -> &Postern {
        &self.postern
    }

    fn strike_at(&self, moment: usize) {
        self.disk.kill_at(moment);
    }

    fn rest(&self) {
        self.disk.spare();
    }

    async fn struck(&self, serving: &mut Serving) {
        let status = serving.child.wait().await.expect("a status");
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "it ended by itself: {status}");
    }
}

/// PostgreSQL and Redis, behind a toll.
pub struct Servers {
    postern: Postern,
    pub toll: Toll,
    _relays: JoinSet<()>,
}

impl Servers {
    /// With nothing in PostgreSQL yet.
    pub async fn empty() -> Self {
        let (database, redis) = (empty_schema().await, redis_url());
        let (toll, mut relays) = (Toll::new(), JoinSet::new());
        let mut behind_toll = async |url: &str| {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("an address").to_string();
            relays.spawn(relay(listener, authority(url).to_owned(), toll.clone()));
            url.replacen(authority(url), &address, 1)
        };
        let postern = postern()
            .with("DATABASE_URL", behind_toll(&database).await)
            .with("REDIS_URL", behind_toll(&redis).await)
            .with("POSTERN_KEYS_DIR", "keys");
        Self { postern, toll, _relays: relays }
    }
}

impl Place for Servers {
    async fn new() -> Self {
        let servers = Self::empty().await;
        for preparation in [["keys", "generate"].as_slice(), &["migrate"]] {
            let ended = servers.postern.run(preparation).await;
            assert_eq!(ended.code, Some(0), "{ended:?}");
        }
        servers
    }

    fn postern(&self) -> &Postern {
        &self.postern
    }

    fn strike_at(&self, moment: usize) {
        self.toll.hold_at(moment);
    }

    fn rest(&self) {
        self.toll.open();
    }

    async fn struck(&self, serving: &mut Serving) {
        self.toll.reached().await;
        serving.signal(Signal::KILL);
        serving.child.wait().await.expect("a status");
    }
}
