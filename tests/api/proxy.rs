//! A TCP proxy that can be cut and frozen, to see what a service does about it.

use std::net::SocketAddr;

use tokio::{
    net::TcpListener,
    sync::{Mutex, watch},
    task::JoinHandle,
};

use crate::relay::{Gate, authority, relay};

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Open,
    /// Nothing is passed on, and nobody is told.
    Frozen,
    /// Connections are closed, and new ones refused.
    Cut,
}

/// A proxy in front of a server.
pub struct Proxy {
    address: SocketAddr,
    upstream: String,
    switch: Switch,
    relaying: Mutex<JoinHandle<()>>,
}

/// What a proxy is told, and what it does.
#[derive(Clone)]
struct Switch {
    line: watch::Sender<Line>,
    /// How many pieces are held that have yet to be passed on.
    held: watch::Sender<usize>,
}

impl Proxy {
    /// A proxy in front of the server of a URL.
    pub async fn start(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let switch = Switch { line: watch::Sender::new(Line::Open), held: watch::Sender::new(0) };
        let upstream = authority(url).to_owned();
        let relaying = Mutex::new(tokio::spawn(relay(listener, upstream.clone(), switch.clone())));
        Self { address, upstream, switch, relaying }
    }

    /// A URL of the server with the proxy's address in place of its own.
    pub fn instead_of(&self, url: &str) -> String {
        url.replacen(authority(url), &self.address.to_string(), 1)
    }

    /// Closes every connection and refuses new ones.
    pub async fn cut(&self) {
        self.switch.line.send_replace(Line::Cut);
        let mut relaying = self.relaying.lock().await;
        (&mut *relaying).await.expect("no panic");
    }

    /// Passes nothing on any more, without telling anybody.
    pub fn freeze(&self) {
        self.switch.line.send_replace(Line::Frozen);
    }

    /// Passes everything on again.
    pub async fn mend(&self) {
        let was = self.switch.line.send_replace(Line::Open);
        if was == Line::Cut {
            let listener = TcpListener::bind(self.address).await.expect("the same port");
            *self.relaying.lock().await = tokio::spawn(relay(listener, self.upstream.clone(), self.switch.clone()));
        }
    }

    /// Waits until something is held back.
    pub async fn holds_something(&self) {
        self.switch.held.subscribe().wait_for(|held| *held > 0).await.expect("the proxy is there");
    }

    /// Waits until nothing is held back any more.
    pub async fn holds_nothing(&self) {
        self.switch.held.subscribe().wait_for(|held| *held == 0).await.expect("the proxy is there");
    }
}

impl Gate for Switch {
    type Passing = Passing;

    async fn admit(&self) -> Option<Passing> {
        let passing = Passing::new(&self.held);
        self.line.subscribe().wait_for(|line| *line != Line::Frozen).await.ok().map(|_| passing)
    }

    async fn closes(&self) {
        self.line.subscribe().wait_for(|line| *line == Line::Cut).await.expect("the switch is there");
    }
}

/// A piece that is held until it has been passed on.
struct Passing(watch::Sender<usize>);

impl Passing {
    fn new(held: &watch::Sender<usize>) -> Self {
        held.send_modify(|held| *held += 1);
        Self(held.clone())
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held -= 1);
    }
}
