//! The phases of a graceful shutdown.

use tokio::sync::watch::Receiver;

/// How far a server's shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// No shutdown has begun.
    Serving,
    /// Connections are still accepted. Each closes after its next response; over HTTP/2 the client gets a GOAWAY frame.
    /// Clients reconnect to another server.
    Draining,
    /// No connections are accepted, and idle connections are closed.
    Closing,
}

impl Phase {
    /// Waits until the server has reached this phase, or the sender of `phase` is dropped.
    pub async fn reached(self, phase: &Receiver<Self>) {
        let _ = phase.clone().wait_for(|phase| *phase >= self).await;
    }
}
