//! A TCP proxy with faults: it can be cut, frozen, and more.

use std::time::Duration;

use tokio::{
    net::TcpListener,
    sync::{Mutex, watch},
    task::JoinHandle,
};

use super::{Gate, ReservedPort, Side, Verdict, authority, relay};

/// What happens to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Open,
    /// Bytes are held.
    Frozen,
    /// Bytes are dropped.
    Swallowing,
    /// Responses are delayed.
    Late(Duration),
    /// Responses are truncated, and their connections closed.
    BreakingOff,
    /// Connections are closed, and new ones refused.
    Cut,
}

/// A proxy in front of a server.
pub struct Proxy {
    /// Stays reserved while the proxy is cut.
    port: ReservedPort,
    upstream: String,
    switch: Switch,
    relaying: Mutex<JoinHandle<()>>,
}

/// The state of a proxy.
#[derive(Clone)]
struct Switch {
    line: watch::Sender<Line>,
    /// The number of pieces that are being held.
    held: watch::Sender<usize>,
}

impl Proxy {
    /// Starts a proxy in front of the server of a URL.
    pub async fn start(url: &str) -> Self {
        let port = ReservedPort::new();
        let listener = TcpListener::bind(port.address).await.expect("a reserved port");
        let switch = Switch { line: watch::Sender::new(Line::Open), held: watch::Sender::new(0) };
        let upstream = authority(url).to_owned();
        let relaying = Mutex::new(tokio::spawn(relay(listener, upstream.clone(), switch.clone())));
        Self { port, upstream, switch, relaying }
    }

    /// Returns a URL of the server with the address of the proxy.
    pub fn instead_of(&self, url: &str) -> String {
        url.replacen(authority(url), &self.port.address.to_string(), 1)
    }

    /// Closes every connection and refuses new ones.
    pub async fn cut(&self) {
        self.switch.line.send_replace(Line::Cut);
        let mut relaying = self.relaying.lock().await;
        (&mut *relaying).await.expect("no panic");
    }

    /// Holds all bytes.
    pub fn freeze(&self) {
        self.switch.line.send_replace(Line::Frozen);
    }

    /// Accepts connections and drops all bytes, like a broken network.
    pub fn swallow(&self) {
        self.switch.line.send_replace(Line::Swallowing);
    }

    /// Delays responses.
    pub fn delay(&self, by: Duration) {
        self.switch.line.send_replace(Line::Late(by));
    }

    /// Truncates responses.
    pub fn break_off(&self) {
        self.switch.line.send_replace(Line::BreakingOff);
    }

    /// Ends any fault.
    pub async fn restore(&self) {
        let was = self.switch.line.send_replace(Line::Open);
        if was == Line::Cut {
            let listener = TcpListener::bind(self.port.address).await.expect("the same port");
            *self.relaying.lock().await = tokio::spawn(relay(listener, self.upstream.clone(), self.switch.clone()));
        }
    }

    /// Waits until a piece is held.
    pub async fn holds_something(&self) {
        self.switch.held.subscribe().wait_for(|held| *held > 0).await.expect("the proxy is there");
    }

    /// Waits until no piece is held.
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
            // Fewer bytes than any response has, of which a piece may contain several.
            Line::BreakingOff if from == Side::Server => {
                return Verdict { passing, bytes: bytes.min(3), goes_on: false };
            }
            _ => {}
        }
        Verdict { passing, bytes, goes_on: true }
    }

    async fn closes(&self) {
        self.line.subscribe().wait_for(|line| *line == Line::Cut).await.expect("the switch is there");
    }
}

/// Counts a piece as held while it lives.
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
