//! A TCP proxy that can be cut and frozen, to see what a service does about it.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, watch},
    task::{JoinHandle, JoinSet},
};

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
    line: watch::Sender<Line>,
    /// How many pumps hold something that they have yet to pass on.
    held: watch::Sender<usize>,
    accepting: Mutex<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy in front of the server of a URL.
    pub async fn start(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let line = watch::Sender::new(Line::Open);
        let (upstream, held) = (authority(url).to_owned(), watch::Sender::new(0));
        let accepting = Mutex::new(tokio::spawn(accept(listener, upstream.clone(), line.subscribe(), held.clone())));
        Self { address, upstream, line, held, accepting }
    }

    /// A URL of the server with the proxy's address in place of its own.
    pub fn instead_of(&self, url: &str) -> String {
        url.replacen(authority(url), &self.address.to_string(), 1)
    }

    /// Closes every connection and refuses new ones.
    pub async fn cut(&self) {
        self.line.send_replace(Line::Cut);
        let mut accepting = self.accepting.lock().await;
        (&mut *accepting).await.expect("no panic");
    }

    /// Passes nothing on any more, without telling anybody.
    pub fn freeze(&self) {
        self.line.send_replace(Line::Frozen);
    }

    /// Passes everything on again.
    pub async fn mend(&self) {
        let was = self.line.send_replace(Line::Open);
        if was == Line::Cut {
            let listener = TcpListener::bind(self.address).await.expect("the same port");
            *self.accepting.lock().await =
                tokio::spawn(accept(listener, self.upstream.clone(), self.line.subscribe(), self.held.clone()));
        }
    }

    /// Waits until something is held back.
    pub async fn holds_something(&self) {
        self.held.subscribe().wait_for(|held| *held > 0).await.expect("the proxy is there");
    }

    /// Waits until nothing is held back any more.
    pub async fn holds_nothing(&self) {
        self.held.subscribe().wait_for(|held| *held == 0).await.expect("the proxy is there");
    }
}

/// `host:port` of a URL.
fn authority(url: &str) -> &str {
    let after_scheme = url.split_once("://").expect("a URL").1;
    let authority = after_scheme.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

async fn accept(listener: TcpListener, upstream: String, mut line: watch::Receiver<Line>, held: watch::Sender<usize>) {
    let mut pumps = JoinSet::new();
    loop {
        let client = tokio::select! {
            _ = line.wait_for(|line| *line == Line::Cut) => break,
            accepted = listener.accept() => accepted.expect("a connection").0,
        };
        let server = TcpStream::connect(&upstream).await.expect("the server behind the proxy");
        let ((client_reads, client_writes), (server_reads, server_writes)) = (client.into_split(), server.into_split());
        pumps.spawn(pump(client_reads, server_writes, line.clone(), held.clone()));
        pumps.spawn(pump(server_reads, client_writes, line.clone(), held.clone()));
    }
    pumps.shutdown().await;
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut line: watch::Receiver<Line>,
    held: watch::Sender<usize>,
) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        held.send_modify(|held| *held += 1);
        let passes = line.wait_for(|line| *line != Line::Frozen).await.is_ok();
        let is_passed_on = passes && to.write_all(&buffer[..length]).await.is_ok();
        held.send_modify(|held| *held -= 1);
        if !is_passed_on {
            break;
        }
    }
}
