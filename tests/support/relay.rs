//! Relays bytes between a program and a server, piece by piece.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

/// Decides what happens to each piece, and when to close.
pub trait Gate: Clone + Send + Sync + 'static {
    /// A guard that lives while a piece is passed on.
    type Passing: Send;

    /// Decides about a piece of this many bytes; may wait.
    fn admit(&self, from: Side, bytes: usize) -> impl Future<Output = Verdict<Self::Passing>> + Send;

    /// Waits until all connections are to be closed and no more accepted.
    fn closes(&self) -> impl Future<Output = ()> + Send;
}

/// The sender of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// The decision about a piece.
pub struct Verdict<P> {
    /// Lives while the piece is passed on.
    pub passing: P,
    /// How much of it is passed on; the rest is dropped silently.
    pub bytes: usize,
    /// Whether the connection stays open.
    pub goes_on: bool,
}

/// Returns `host:port` of a URL.
pub fn authority(url: &str) -> &str {
    let after_scheme = url.split_once("://").expect("a URL").1;
    let authority = after_scheme.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// Relays the connections of this listener to the server, until the gate closes.
pub async fn relay(listener: TcpListener, server: String, gate: impl Gate) {
    let mut connections = JoinSet::new();
    loop {
        let client = tokio::select! {
            () = gate.closes() => break,
            accepted = listener.accept() => accepted.expect("a connection").0,
        };
        // Without a server behind it, the connection is closed.
        let Ok(server) = TcpStream::connect(&server).await else { continue };
        let gate = gate.clone();
        connections.spawn(async move {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // Each direction may end by itself; if the gate closes one, both end.
            let (asks, responses) = ((Side::Client, from_client, to_server), (Side::Server, from_server, to_client));
            tokio::try_join!(pump(asks, &gate), pump(responses, &gate)).is_ok()
        });
    }
    connections.shutdown().await;
}

/// The gate has closed the connection.
struct Refused;

async fn pump(
    (side, mut from, mut to): (Side, OwnedReadHalf, OwnedWriteHalf),
    gate: &impl Gate,
) -> Result<(), Refused> {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let Verdict { passing, bytes, goes_on } = gate.admit(side, length).await;
        let is_passed_on = to.write_all(&buffer[..bytes]).await.is_ok();
        drop(passing);
        if !goes_on {
            return Err(Refused);
        }
        if !is_passed_on {
            break;
        }
    }
    Ok(())
}
