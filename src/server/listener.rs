//! Accepts connections until the server closes, then waits for the open ones.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch::Receiver,
    task::JoinSet,
    time::sleep,
};
use tracing::{debug, warn};

use super::{
    activity::ConnectionActivity, connection::Connection, limits::ConnectionLimits, memory::ConnectionMemory,
    shutdown::Phase, slots::ConnectionSlots, tls::Tls,
};
use crate::http::Service;

/// The pause after an accept that failed for lack of a resource, most likely of file descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// A listener and how to serve it.
pub struct ListenerConfig {
    /// The listening socket.
    pub listener: TcpListener,
    /// Responds to its requests.
    pub service: Arc<Service>,
    /// The limits of its connections.
    pub limits: ConnectionLimits,
    /// Its certificate. If there is one, the listener accepts TLS only.
    pub tls: Option<Arc<Tls>>,
}

/// Serves a listener until [`Phase::Closing`], then until the last connection has ended. Dropping the future aborts the
/// connections that are still open.
pub async fn serve(config: ListenerConfig, phase: Receiver<Phase>) {
    let ListenerConfig { listener, service, limits, tls } = config;
    let slots = Arc::new(ConnectionSlots::new(limits.max_connections, Arc::clone(service.budget())));
    let mut acceptor = Acceptor { slots, service, limits, tls, phase: phase.clone(), connections: JoinSet::new() };
    let backlog = loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = Phase::Closing.reached(&phase) => break drain_backlog(listener),
            accepted = accept(&listener) => accepted,
        };
        let mut admission = pin!(acceptor.admit(stream, peer));
        tokio::select! {
            biased;
            () = admission.as_mut() => {}
            // Close the listener at once, and still admit the connection that waits for a slot.
            () = Phase::Closing.reached(&phase) => {
                let backlog = drain_backlog(listener);
                admission.await;
                break backlog;
            }
        }
    };
    for (stream, peer) in backlog {
        acceptor.admit(stream, peer).await;
    }
    while acceptor.connections.join_next().await.is_some() {}
}

/// Gives each connection a slot and its memory, and spawns its task. A connection that gets neither is closed.
struct Acceptor {
    slots: Arc<ConnectionSlots>,
    service: Arc<Service>,
    limits: ConnectionLimits,
    tls: Option<Arc<Tls>>,
    phase: Receiver<Phase>,
    connections: JoinSet<()>,
}

impl Acceptor {
    async fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let activity = Arc::new(ConnectionActivity::new(self.limits.timeouts));
        let payer = self.service.payer(peer.ip());
        let Some(slot) = self.slots.acquire(Arc::clone(&activity), payer).await else { return };
        self.slots.relieve_memory(payer);
        let Ok(memory) = ConnectionMemory::charge(self.service.budget(), payer, self.tls.is_some()) else { return };
        while self.connections.try_join_next().is_some() {}
        let open = self.service.connection();
        let (service, tls, phase) = (Arc::clone(&self.service), self.tls.clone(), self.phase.clone());
        let slots = Arc::clone(&self.slots);
        let connection = Connection { peer, service, limits: self.limits, phase, activity, slots };
        self.connections.spawn(async move {
            if let Err(error) = connection.serve(stream, tls, memory).await {
                debug!(%error, "connection ended");
            }
            drop((slot, open));
        });
    }
}

/// Accepts the next connection, however often that takes.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_client_error(&error) => {}
            Err(error) => {
                warn!(%error, "failed to accept a connection");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Closes the listener and returns the connections of its backlog, which closing it would reset.
fn drain_backlog(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let accept = || {
        let (stream, peer) = listener.accept()?;
        stream.set_nonblocking(true)?;
        Ok::<_, io::Error>((TcpStream::from_std(stream)?, peer))
    };
    let mut backlog = Vec::new();
    loop {
        match accept() {
            Ok(connection) => backlog.push(connection),
            Err(error) if is_client_error(&error) => {}
            // `WouldBlock` when the backlog is empty.
            Err(_) => return backlog,
        }
    }
}

/// Returns whether accepting failed because the client has closed its connection already.
fn is_client_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
