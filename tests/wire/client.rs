//! HTTP/1.1 by the byte.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::program::LONG;

/// How long a server that does not read has to begin again.
const STUCK: Duration = Duration::from_secs(2);

/// How long a flood goes on that nobody stops.
const ENDLESS: Duration = Duration::from_secs(15);

/// What has become of a flood.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Flooded {
    /// The server has closed the connection.
    Closed,
    /// It reads no more.
    Stuck,
    /// It has taken it all.
    Taken,
}

/// A request that wants no other after it.
pub fn get(path: &str, id: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: postern.test\r\nX-Request-Id: {id}\r\nConnection: close\r\n\r\n")
}

/// The same, with a body.
pub fn post(path: &str, id: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: postern.test\r\nX-Request-Id: {id}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One end of a connection, to us or to a proxy.
pub struct Connection<S = TcpStream>(pub S);

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = timeout(LONG, TcpStream::connect(address)).await.expect("in time").expect("it accepts");
        stream.set_nodelay(true).expect("an option");
        Self(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Sends what the other side takes: it may have heard enough, and closed.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = timeout(LONG, self.0.write_all(bytes.as_ref())).await.expect("it takes the bytes, or closes");
    }

    /// Sends one byte whenever nothing has come for a while, over and over, until the other side closes or the bytes are
    /// all sent; then waits for the end. Gives what came.
    pub async fn drip(&mut self, bytes: &[u8], pause: Duration) -> Vec<u8> {
        let (mut heard, mut rest) = (Vec::new(), bytes.iter());
        let dripping = async {
            loop {
                match timeout(pause, self.0.read_buf(&mut heard)).await {
                    Ok(Ok(0) | Err(_)) => return,
                    Ok(Ok(_)) => {}
                    Err(_silence) => {
                        let Some(byte) = rest.next() else { continue };
                        let _ = self.0.write_all(&[*byte]).await;
                    }
                }
            }
        };
        timeout(LONG, dripping).await.expect("it closes");
        heard
    }

    /// Sends the same bytes over and over, and reads nothing, until the other side closes, takes nothing for a while, or has
    /// taken this many; for some seconds at most.
    pub async fn flood(&mut self, bytes: &[u8], limit: usize) -> Flooded {
        let begun = Instant::now();
        let mut taken = 0;
        while taken < limit && begun.elapsed() < ENDLESS {
            // In the order that they come, wherever the last write ended.
            match timeout(STUCK, self.0.write(&bytes[taken % bytes.len()..])).await {
                Ok(Ok(length)) if length > 0 => taken += length,
                Ok(_) => return Flooded::Closed,
                Err(_elapsed) => return Flooded::Stuck,
            }
        }
        Flooded::Taken
    }

    /// The next bytes, this many.
    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut heard = vec![0; length];
        timeout(LONG, self.0.read_exact(&mut heard)).await.expect("in time").expect("so many bytes");
        heard
    }

    /// Everything that comes until the other side closes.
    pub async fn until_closed(&mut self) -> Answers {
        let mut heard = Vec::new();
        // A connection that is reset has ended too.
        let _ = timeout(LONG, self.0.read_to_end(&mut heard)).await.expect("it closes");
        Answers::of(&heard)
    }
}

/// An answer, without what nobody here asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// Which request it is for, if it tells.
    pub id: String,
    pub body: String,
}

/// The answers of a connection, in their order.
#[derive(Debug)]
pub struct Answers(pub Vec<Answer>);

impl Answers {
    /// Reads answers of a known length. What is not one is a fault: nothing of ours, or of a proxy, sends half an answer.
    pub fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (mut answers, mut rest) = (Vec::new(), text.as_ref());
        while !rest.is_empty() {
            let (head, after) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("a head: {text:?}"));
            let status = head.strip_prefix("HTTP/1.").and_then(|line| line.get(2..5)?.parse().ok());
            let status = status.unwrap_or_else(|| panic!("a status: {text:?}"));
            let length = header(head, "content-length").map_or(0, |length| length.parse().expect("a number"));
            let (body, after) = after.split_at_checked(length).unwrap_or_else(|| panic!("a body: {text:?}"));
            answers.push(Answer {
                status,
                id: header(head, "x-request-id").unwrap_or_default().to_owned(),
                body: body.to_owned(),
            });
            rest = after;
        }
        Self(answers)
    }

    #[track_caller]
    pub fn only(self) -> Answer {
        let [answer] = self.0.try_into().unwrap_or_else(|answers| panic!("one answer: {answers:?}"));
        answer
    }

    pub fn statuses(&self) -> Vec<u16> {
        self.0.iter().map(|answer| answer.status).collect()
    }

    pub fn ids(&self) -> Vec<&str> {
        self.0.iter().map(|answer| answer.id.as_str()).collect()
    }
}

fn header<'head>(head: &'head str, name: &str) -> Option<&'head str> {
    head.lines().find_map(|line| {
        let (other, value) = line.split_once(':')?;
        other.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
