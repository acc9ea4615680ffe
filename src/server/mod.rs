//! Listeners: connections in, limits around them, and a graceful end.
//!
//! A connection has a place in the house (`house.rs`), says by its watch (`watch.rs`) what it is doing, and reaches hyper
//! over its wire (`wire.rs`), which judges heads, chunks and frames.

mod chunks;
mod connection;
mod files;
mod frames;
mod head;
mod house;
mod tls;
mod watch;
mod wire;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch::Receiver,
    task::JoinSet,
    time::sleep,
};
use tracing::{debug, warn};

use self::{connection::Connection, house::House, watch::Watch};
pub use self::{
    files::raise_open_files_limit,
    tls::{Tls, TlsError, TlsFiles},
    watch::Patience,
};
use crate::http::Service;

/// How long to wait after an accept that failed for want of something: of files, most likely.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// Limits on connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// How many connections may be open at once. Then one that has no request gives its place to the next; where each has
    /// one, the next waits.
    pub connections: usize,
    /// How long a connection may do nothing, or do it slowly.
    pub patience: Patience,
    /// How old a connection may grow, give or take a tenth, before its client is asked to make a new one.
    pub age: Duration,
}

/// What a listener serves, and how.
pub struct Listening {
    /// The listener.
    pub listener: TcpListener,
    /// Answers its requests.
    pub service: Arc<Service>,
    /// Its limits.
    pub limits: ConnectionLimits,
    /// Its certificate, where it has one: then nothing is answered without TLS.
    pub tls: Option<Arc<Tls>>,
}

/// Serves a listener until `stop` turns true, and then until the last connection has been answered. Dropping the future
/// cuts off what is left.
pub async fn serve(listening: Listening, mut stop: Receiver<bool>) {
    let Listening { listener, service, limits, tls } = listening;
    let house = Arc::new(House::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let (stream, peer) = accept(&listener).await;
            let watch = Arc::new(Watch::new(limits.patience));
            (stream, peer, house.place(Arc::clone(&watch)).await, watch)
        };
        let (stream, peer, place, watch) = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = next => accepted,
        };
        while connections.try_join_next().is_some() {}
        let open = service.connection();
        let connection = Connection { peer, service: Arc::clone(&service), limits, stop: stop.clone(), watch };
        let tls = tls.clone();
        connections.spawn(async move {
            if let Err(error) = connection.serve(stream, tls).await {
                debug!(%error, "connection ended");
            }
            drop((place, open));
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next connection.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client has gone already: the next one may be waiting.
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                warn!(%error, "connections cannot be accepted");
                sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
