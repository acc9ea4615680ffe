//! A client that sends raw HTTP/2 frames (RFC 9113), with uncompressed headers (RFC 7541).

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    client::{Connection, Flooded},
    server::Server,
    support::{LONG, within},
};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// A flag of DATA and HEADERS.
pub const END_STREAM: u8 = 1;
/// A flag of SETTINGS and PING.
pub const ACK: u8 = 1;
/// A flag of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 4;
/// The flags of a whole request without a body.
pub const WHOLE: u8 = END_STREAM | END_HEADERS;

/// Error codes.
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Returns the bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Returns the payload of SETTINGS.
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    values.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect()
}

/// Returns a header block of literal fields.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| [&[0][..], &text(name), &text(value)].concat()).collect()
}

/// Returns a header block of any length as HEADERS, and CONTINUATION if it needs more than one frame.
pub fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    let mut payloads = block.chunks(16 * 1024).peekable();
    let mut kind = HEADERS;
    let mut frames = Vec::new();
    while let Some(payload) = payloads.next() {
        let last = if payloads.peek().is_none() { END_HEADERS } else { 0 };
        let flags = if kind == HEADERS { flags & !END_HEADERS } else { 0 };
        frames.extend(frame(kind, flags | last, stream, payload));
        kind = CONTINUATION;
    }
    frames
}

/// Returns a string literal: its length and its bytes.
pub fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    let mut bytes = Vec::new();
    let mut rest = text.len();
    if rest < 127 {
        bytes.push(u8::try_from(rest).expect("seven bits"));
    } else {
        bytes.push(127);
        rest -= 127;
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128 + 128).expect("eight bits"));
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).expect("seven bits"));
    }
    bytes.extend(text);
    bytes
}

/// Returns the pseudo-headers of a request.
pub fn request<'text>(method: &'text str, path: &'text str) -> [(&'text str, &'text str); 4] {
    [(":method", method), (":scheme", "http"), (":authority", "postern.test"), (":path", path)]
}

/// Returns a whole GET request.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &block(&request("GET", path)))
}

/// Returns the head of a POST request. The body is still to come.
pub fn post(stream: u32, path: &str) -> Vec<u8> {
    let json = [("content-type", "application/json")];
    frame(HEADERS, END_HEADERS, stream, &block(&[&request("POST", path)[..], &json].concat()))
}

/// A received frame.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// How a stream, or its connection, ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    Responded(u16),
    Reset(u32),
    /// GOAWAY with this code.
    GoneAway(u32),
    Closed,
}

/// An HTTP/2 connection to the server.
pub struct Http2 {
    connection: Connection,
}

impl Http2 {
    pub async fn open(server: &Server) -> Self {
        Self::open_with(server, &[]).await
    }

    /// Opens a connection with these SETTINGS, and acknowledges the server's.
    pub async fn open_with(server: &Server, values: &[(u16, u32)]) -> Self {
        Self::on(server.connect().await, values).await
    }

    /// Opens HTTP/2 on a connection with these SETTINGS, and acknowledges the server's.
    pub async fn on(connection: Connection, values: &[(u16, u32)]) -> Self {
        let mut http2 = Self { connection };
        http2.send([PREFACE, &frame(SETTINGS, 0, 0, &settings(values))].concat()).await;
        let first = http2.next().await.expect("SETTINGS");
        assert_eq!((first.kind, first.flags), (SETTINGS, 0), "{first:?}");
        http2.send(frame(SETTINGS, ACK, 0, b"")).await;
        http2
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.connection.send(bytes).await;
    }

    /// Sends frames and a PING, and waits for its acknowledgement. Returns `false` if the server closes instead.
    pub async fn round_trip(&mut self, frames: &[u8]) -> bool {
        let ping = frame(PING, 0, 0, b"roundtrp");
        if self.connection.0.write_all(&[frames, &ping].concat()).await.is_err() {
            return false;
        }
        while let Some(frame) = self.next().await {
            match frame.kind {
                PING if frame.flags == ACK => return true,
                GOAWAY => return false,
                _ => {}
            }
        }
        false
    }

    /// Reads the next frame; `None` if the server has closed.
    pub async fn next(&mut self) -> Option<Frame> {
        let reading = async {
            let mut head = [0; 9];
            self.connection.0.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.connection.0.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Some(Frame { kind: head[3], flags: head[4], stream, payload })
        };
        within(LONG, "the server sends or closes", reading).await
    }

    /// Reads until the stream or the connection ends.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        let reading = async {
            while let Some(frame) = self.next().await {
                match frame.kind {
                    HEADERS if frame.stream == stream => return Outcome::Responded(status(&frame.payload)),
                    RST_STREAM if frame.stream == stream => return Outcome::Reset(word(&frame.payload, 0)),
                    GOAWAY => return Outcome::GoneAway(word(&frame.payload, 4)),
                    _ => {}
                }
            }
            Outcome::Closed
        };
        within(LONG, "the stream ends", reading).await
    }

    /// Reads all frames until the server closes.
    pub async fn until_closed(&mut self) -> Vec<Frame> {
        let reading = async {
            let mut frames = Vec::new();
            while let Some(frame) = self.next().await {
                frames.push(frame);
            }
            frames
        };
        within(LONG, "the server closes", reading).await
    }

    /// See [`Connection::flood`].
    pub async fn flood(&mut self, bytes: &[u8], limit: usize) -> Flooded {
        self.connection.flood(bytes, limit).await
    }

    /// Sends all bytes, and reads until the server closes. Returns the code of its GOAWAY, if there was one.
    pub async fn exchange(self, bytes: &[u8]) -> Option<u32> {
        let (mut reader, mut writer) = self.connection.0.into_split();
        let mut received = Vec::new();
        let writing = async {
            let _ = writer.write_all(bytes).await;
            // Keep the write side open: the server may still send.
            writer
        };
        let reading = async { reader.read_to_end(&mut received).await.is_ok() };
        within(LONG, "the server closes", async { tokio::join!(writing, reading) }).await;
        goaway(&received)
    }
}

/// Returns the code of the first GOAWAY among frames.
fn goaway(mut received: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = received.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == GOAWAY {
            return Some(word(payload, 4));
        }
        received = rest;
    }
    None
}

fn word(payload: &[u8], start: usize) -> u32 {
    u32::from_be_bytes(payload[start..start + 4].try_into().expect("four bytes"))
}

/// Returns the status at the start of a header block: an index of the static table or a Huffman-coded string; otherwise 0.
fn status(block: &[u8]) -> u16 {
    match block {
        [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        [0x48, length, digits @ ..] if length & 0x80 != 0 => huffman_digits(&digits[..usize::from(length & 0x7f)]),
        _ => 0,
    }
}

/// Decodes three digits. In the Huffman code, 0 to 2 have five bits, the others six.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| u16::from(byte >> place & 1)));
    (0..3).fold(0, |number, _| {
        let five = bits.by_ref().take(5).fold(0, |code, bit| code * 2 + bit);
        let digit = if five <= 2 { five } else { five * 2 + bits.next().unwrap_or_default() - 22 };
        number * 10 + digit
    })
}
