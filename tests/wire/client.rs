//! A client that sends raw bytes and parses HTTP/1 responses.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{self, LONG, within};

/// How long the server may take no bytes before a flood counts as stuck.
const STUCK: Duration = Duration::from_secs(2);

/// How long a flood lasts if the server does not stop it.
const FLOOD_TIME: Duration = Duration::from_secs(15);

/// How a flood ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Flooded {
    /// The server closed the connection.
    Closed,
    /// The server stopped reading.
    Stuck,
    /// The server read everything.
    Taken,
}

/// Returns a GET request with `Connection: close`.
pub fn get(path: &str, id: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: postern.test\r\nX-Request-Id: {id}\r\nConnection: close\r\n\r\n")
}

/// Returns a POST request with `Connection: close`.
pub fn post(path: &str, id: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: postern.test\r\nX-Request-Id: {id}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A connection to the server or to a proxy.
pub struct Connection<S = TcpStream>(pub S);

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = within(LONG, "the server accepts", TcpStream::connect(address)).await.expect("it accepts");
        stream.set_nodelay(true).expect("an option");
        Self(stream)
    }

    /// Opens a connection from this address.
    pub async fn open_from(source: IpAddr, address: SocketAddr) -> Self {
        let stream = support::connect_from(source, address).await;
        stream.set_nodelay(true).expect("an option");
        Self(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Sends bytes. The server may close the connection before it has read them all.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within(LONG, "the server reads or closes", self.0.write_all(bytes.as_ref())).await;
    }

    /// Sends one byte after each pause without input, until the server closes. Returns what the server has sent.
    pub async fn drip(&mut self, bytes: &[u8], pause: Duration) -> Vec<u8> {
        let (mut received, mut rest) = (Vec::new(), bytes.iter());
        let dripping = async {
            loop {
                match timeout(pause, self.0.read_buf(&mut received)).await {
                    Ok(Ok(0) | Err(_)) => return,
                    Ok(Ok(_)) => {}
                    Err(_silence) => {
                        let Some(byte) = rest.next() else { continue };
                        let _ = self.0.write_all(&[*byte]).await;
                    }
                }
            }
        };
        within(LONG, "the server closes", dripping).await;
        received
    }

    /// Sends the same bytes again and again, and reads nothing, until the server closes, takes nothing for [`STUCK`] or
    /// has taken `limit` bytes; for [`FLOOD_TIME`] at most.
    pub async fn flood(&mut self, bytes: &[u8], limit: usize) -> Flooded {
        let begun = Instant::now();
        let mut taken = 0;
        while taken < limit && begun.elapsed() < FLOOD_TIME {
            // Continues within the bytes if the last write was partial.
            match timeout(STUCK, self.0.write(&bytes[taken % bytes.len()..])).await {
                Ok(Ok(length)) if length > 0 => taken += length,
                Ok(_) => return Flooded::Closed,
                Err(_elapsed) => return Flooded::Stuck,
            }
        }
        Flooded::Taken
    }

    /// Reads exactly `length` bytes.
    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut received = vec![0; length];
        within(LONG, "enough bytes", self.0.read_exact(&mut received)).await.expect("enough bytes");
        received
    }

    /// Reads all responses until the server closes or resets the connection.
    pub async fn until_closed(&mut self) -> Responses {
        Responses::of(&support::until_closed(&mut self.0).await)
    }
}

/// A response, as far as the tests look at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    pub status: u16,
    /// Its `X-Request-Id`; empty if it has none.
    pub id: String,
    pub body: String,
}

/// The responses on a connection, in order.
#[derive(Debug)]
pub struct Responses(pub Vec<Response>);

impl Responses {
    /// Parses responses.
    ///
    /// # Panics
    /// If a response is malformed or incomplete: neither the server nor a proxy sends such a one.
    pub fn of(text: &str) -> Self {
        let (mut responses, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let (head, after) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("a head: {text:?}"));
            let status = head.strip_prefix("HTTP/1.").and_then(|line| line.get(2..5)?.parse().ok());
            let status = status.unwrap_or_else(|| panic!("a status: {text:?}"));
            let length = support::header(head, "content-length").map_or(0, |length| length.parse().expect("a number"));
            let (body, after) = after.split_at_checked(length).unwrap_or_else(|| panic!("a body: {text:?}"));
            responses.push(Response {
                status,
                id: support::header(head, "x-request-id").unwrap_or_default().to_owned(),
                body: body.to_owned(),
            });
            rest = after;
        }
        Self(responses)
    }

    #[track_caller]
    pub fn only(self) -> Response {
        let [response] = self.0.try_into().unwrap_or_else(|responses| panic!("one response: {responses:?}"));
        response
    }

    pub fn statuses(&self) -> Vec<u16> {
        self.0.iter().map(|response| response.status).collect()
    }

    pub fn ids(&self) -> Vec<&str> {
        self.0.iter().map(|response| response.id.as_str()).collect()
    }
}
