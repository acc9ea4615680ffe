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

    /// Waits until a piece may be passed on; `None` where its connection is closed in place of that.
    fn admit(&self) -> impl Future<Output = Option<Self::Passing>> + Send;

    /// Waits until every connection is to be closed, and none accepted any more.
    fn closes(&self) -> impl Future<Output = ()> + Send;
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
        let server = TcpStream::connect(&server).await.expect("the server behind");
        let gate = gate.clone();
        connections.spawn(async move {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // Each way may end by itself; where the gate says so, both end.
            tokio::try_join!(pump(from_client, to_server, &gate), pump(from_server, to_client, &gate)).is_ok()
        });
    }
    connections.shutdown().await;
}

/// The gate has let a piece not pass.
struct Refused;

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, gate: &impl Gate) -> Result<(), Refused> {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let _passing = gate.admit().await.ok_or(Refused)?;
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    Ok(())
}
