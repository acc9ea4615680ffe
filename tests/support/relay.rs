//! Passes on what a program and a server say to each other, piece by piece.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

/// Decides about each piece, and about the end.
pub trait Gate: Clone + Send + Sync + 'static {
    /// What is kept while a piece is passed on.
    type Passing: Send;

    /// Waits until it is clear what becomes of a piece of so many bytes.
    fn admit(&self, from: Side, bytes: usize) -> impl Future<Output = Verdict<Self::Passing>> + Send;

    /// Waits until every connection is to be closed, and none accepted any more.
    fn closes(&self) -> impl Future<Output = ()> + Send;
}

/// Who has sent a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// What becomes of a piece.
pub struct Verdict<P> {
    /// Kept while it is passed on.
    pub passing: P,
    /// How much of it is passed on; the rest is lost, and nobody is told.
    pub bytes: usize,
    /// Whether its connection stays open.
    pub goes_on: bool,
}

/// `host:port` of a URL.
pub fn authority(url: &str) -> &str {
    let after_scheme = url.split_once("://").expect("a URL").1;
    let authority = after_scheme.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// Passes on whatever comes by this listener, and what is answered, until the gate closes.
pub async fn relay(listener: TcpListener, server: String, gate: impl Gate) {
    let mut connections = JoinSet::new();
    loop {
        let client = tokio::select! {
            () = gate.closes() => break,
            accepted = listener.accept() => accepted.expect("a connection").0,
        };
        // Without one behind, it is as if nobody listened.
        let Ok(server) = TcpStream::connect(&server).await else { continue };
        let gate = gate.clone();
        connections.spawn(async move {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // Each way may end by itself; where the gate says so, both end.
            let (asks, answers) = ((Side::Client, from_client, to_server), (Side::Server, from_server, to_client));
            tokio::try_join!(pump(asks, &gate), pump(answers, &gate)).is_ok()
        });
    }
    connections.shutdown().await;
}

/// The gate has let a piece not pass.
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
