//! Listeners: connections in, limits around them, and a graceful end.
//!
//! A connection has a place in the house (`house.rs`), says by its watch (`watch.rs`) what it is doing, and reaches hyper
//! over its wire (`wire.rs`), which judges heads, chunks and frames.

mod chunks;
mod connection;
mod frames;
mod head;
mod house;
mod patience;
mod tls;
mod watch;
mod wire;

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch::Receiver,
    task::JoinSet,
    time::sleep,
};
use tracing::{debug, warn};

pub use self::{
    patience::Patience,
    tls::{Tls, TlsError, TlsFiles},
};
use crate::{
    http::Service,
    server::{connection::Connection, house::House, watch::Watch},
};

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

/// How far a server has come on its way to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It serves.
    Serving,
    /// It serves, and each connection ends with its next answer, or over HTTP/2 by being told: its client's next one shall
    /// be to another server.
    Leaving,
    /// No connection is accepted any more, and those on which nothing happens are closed.
    Closing,
}

impl Phase {
    /// Until the server has come so far, or nobody is left who could tell it anything.
    async fn reached(self, phase: &Receiver<Self>) {
        let _ = phase.clone().wait_for(|phase| *phase >= self).await;
    }
}

/// Serves a listener until the last phase, and then until the last connection has been answered. Dropping the future cuts
/// off what is left.
pub async fn serve(listening: Listening, phase: Receiver<Phase>) {
    let Listening { listener, service, limits, tls } = listening;
    let house = Arc::new(House::new(limits.connections));
    let mut reception = Reception { house, service, limits, tls, phase: phase.clone(), connections: JoinSet::new() };
    let rest = loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = Phase::Closing.reached(&phase) => break waiting(listener),
            accepted = accept(&listener) => accepted,
        };
        let mut admitting = pin!(reception.admit(stream, peer));
        tokio::select! {
            biased;
            () = admitting.as_mut() => {}
            // Whoever waits for a place is not turned away, but nobody comes after them.
            () = Phase::Closing.reached(&phase) => {
                let rest = waiting(listener);
                admitting.await;
                break rest;
            }
        }
    };
    for (stream, peer) in rest {
        reception.admit(stream, peer).await;
    }
    while reception.connections.join_next().await.is_some() {}
}

/// Gives each connection its place, and has it served.
struct Reception {
    house: Arc<House>,
    service: Arc<Service>,
    limits: ConnectionLimits,
    tls: Option<Arc<Tls>>,
    phase: Receiver<Phase>,
    connections: JoinSet<()>,
}

impl Reception {
    async fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let watch = Arc::new(Watch::new(self.limits.patience));
        let place = self.house.place(Arc::clone(&watch)).await;
        while self.connections.try_join_next().is_some() {}
        let open = self.service.connection();
        let (service, tls, phase) = (Arc::clone(&self.service), self.tls.clone(), self.phase.clone());
        let connection = Connection { peer, service, limits: self.limits, phase, watch };
        self.connections.spawn(async move {
            if let Err(error) = connection.serve(stream, tls).await {
                debug!(%error, "connection ended");
            }
            drop((place, open));
        });
    }
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

/// The connections that were made before the listener is closed, and that nobody has accepted: closing it resets them.
fn waiting(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let accepted = || {
        let (stream, peer) = listener.accept()?;
        stream.set_nonblocking(true)?;
        Ok::<_, io::Error>((TcpStream::from_std(stream)?, peer))
    };
    let mut waiting = Vec::new();
    loop {
        match accepted() {
            Ok(connection) => waiting.push(connection),
            Err(error) if is_of_the_connection(&error) => {}
            // It does not block: where nobody waits, that is an error, too.
            Err(_) => return waiting,
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
