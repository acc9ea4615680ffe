//! A TCP proxy that can be cut, frozen and more, to see what a service does about it.

use std::time::Duration;

use tokio::{
    net::TcpListener,
    sync::{Mutex, watch},
    task::JoinHandle,
};

use super::{Gate, ReservedPort, Side, Verdict, authority, relay};

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Open,
    /// Nothing is passed on, and nobody is told.
    Frozen,
    /// Whatever is sent is lost.
    Swallowing,
    /// Answers come so late.
    Late(Duration),
    /// Answers break off in the middle, and so do their connections.
    BreakingOff,
    /// Connections are closed, and new ones refused.
    Cut,
}

/// A proxy in front of a server.
pub struct Proxy {
    /// Nobody else gets it while the proxy is cut.
    port: ReservedPort,
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
        let port = ReservedPort::new();
        let listener = TcpListener::bind(port.address).await.expect("a reserved port");
        let switch = Switch { line: watch::Sender::new(Line::Open), held: watch::Sender::new(0) };
        let upstream = authority(url).to_owned();
        let relaying = Mutex::new(tokio::spawn(relay(listener, upstream.clone(), switch.clone())));
        Self { port, upstream, switch, relaying }
    }

    /// A URL of the server with the proxy's address in place of its own.
    pub fn instead_of(&self, url: &str) -> String {
        url.replacen(authority(url), &self.port.address.to_string(), 1)
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

    /// Accepts connections, and loses whatever is sent, as a network does that leads nowhere.
    pub fn swallow(&self) {
        self.switch.line.send_replace(Line::Swallowing);
    }

    /// Passes answers on so late.
    pub fn delay(&self, by: Duration) {
        self.switch.line.send_replace(Line::Late(by));
    }

    /// Breaks off in the middle of answers.
    pub fn break_off(&self) {
        self.switch.line.send_replace(Line::BreakingOff);
    }

    /// Passes everything on again.
    pub async fn mend(&self) {
        let was = self.switch.line.send_replace(Line::Open);
        if was == Line::Cut {
            let listener = TcpListener::bind(self.port.address).await.expect("the same port");
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

    async fn admit(&self, from: Side, bytes: usize) -> Verdict<Passing> {
        let passing = Passing::new(&self.held);
        let mut line = self.line.subscribe();
        let line = *line.wait_for(|line| *line != Line::Frozen).await.expect("the switch is there");
        match line {
            Line::Late(by) if from == Side::Server => tokio::time::sleep(by).await,
            Line::Swallowing => return Verdict { passing, bytes: 0, goes_on: true },
            Line::BreakingOff if from == Side::Server => return Verdict { passing, bytes: bytes / 2, goes_on: false },
            _ => {}
        }
        Verdict { passing, bytes, goes_on: true }
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
