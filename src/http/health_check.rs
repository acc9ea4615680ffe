//! The client of `postern health`: asks a server on this host whether it is ready.

use std::{fmt, io, net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1,
    header::{CONNECTION, HOST},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};

use crate::model::escape_invisible;

/// The largest body that is read: many times that of `/readyz`.
const MAX_BODY_BYTES: usize = 4096;

/// Why a server counts as not ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// No connection was accepted.
    #[error("{address}: no server responds: {cause}")]
    Unreachable {
        /// The last address that was tried.
        address: SocketAddr,
        /// The error of the system.
        cause: io::Error,
    },
    /// The response did not come in time.
    #[error("{address}: no response within {}", humantime::format_duration(*.limit))]
    Slow {
        /// The address of the server.
        address: SocketAddr,
        /// The time limit.
        limit: Duration,
    },
    /// The response is not that of Postern's `/readyz`: another program listens there, or the public listener.
    #[error("{address}: expected the operations listener of Postern, found another server ({found})")]
    NotPostern {
        /// The address of the server.
        address: SocketAddr,
        /// The error, or the status of the response.
        found: String,
    },
    /// The server responded that it takes no traffic.
    #[error("{address}: not ready: {state}")]
    State {
        /// The address of the server.
        address: SocketAddr,
        /// Its state.
        state: State,
    },
}

/// The response of `/readyz`.
#[derive(Debug, Deserialize)]
pub struct State {
    status: String,
    users: String,
    sessions: String,
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [status, users, sessions] = [&self.status, &self.users, &self.sessions].map(|text| escape_invisible(text));
        write!(formatter, "{status} (users {users}, sessions {sessions})")
    }
}

/// Requests `/readyz` at the first address that accepts a connection, and returns the state of a server that is ready.
///
/// # Errors
/// Returns [`NotReady`] if no server responds within the limit, or if it is not ready.
pub async fn check(addresses: &[SocketAddr], limit: Duration) -> Result<String, NotReady> {
    let first = *addresses.first().unwrap_or_else(|| unreachable!("a listener has an address"));
    let checking = async {
        let (address, stream) = connect(addresses).await?;
        let not_postern = |found: String| NotReady::NotPostern { address, found };
        let (status, body) = request(address, stream).await.map_err(|error| not_postern(error.to_string()))?;
        let state: Option<State> = serde_json::from_slice(&body).ok();
        match (status, state) {
            (200, Some(state)) => Ok(format!("{address}: {state}")),
            (503, Some(state)) => Err(NotReady::State { address, state }),
            (status, _) => Err(not_postern(format!("status {status}"))),
        }
    };
    timeout(limit, checking).await.unwrap_or(Err(NotReady::Slow { address: first, limit }))
}

/// Connects to the first address that accepts.
async fn connect(addresses: &[SocketAddr]) -> Result<(SocketAddr, TcpStream), NotReady> {
    let mut outcome = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok((*address, stream)),
            Err(cause) => outcome = Some(NotReady::Unreachable { address: *address, cause }),
        }
    }
    Err(outcome.unwrap_or_else(|| unreachable!("a listener has an address")))
}

/// Sends the request, and returns the status and the body of the response.
async fn request(
    address: SocketAddr,
    stream: TcpStream,
) -> Result<(u16, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/readyz").header(HOST, address.to_string()).header(CONNECTION, "close");
    let responding = async {
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await?;
        Ok((status, body.to_bytes()))
    };
    let driver = async {
        // The response has the same error.
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        outcome = responding => outcome,
        never = driver => never,
    }
}
