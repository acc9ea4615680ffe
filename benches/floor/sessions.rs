//! Sessions in Redis: pipelined commands over one connection, in the Redis serialization protocol (RESP 2).

use std::{future::Future, io, mem, str::FromStr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, oneshot},
};
use uuid::Uuid;

/// Replaces a session's refresh token by the next one, if it is the next one of a session of this epoch.
const ROTATE: &str = "
local now = redis.call('TIME')
local session = redis.call('HMGET', KEYS[1], 'epoch', 'expires', 'successor')
if session[1] ~= ARGV[1] or tonumber(session[2]) <= now[1] * 1000 or tonumber(session[3]) > tonumber(ARGV[2]) then
  return {false, false}
end
local next = string.format('%.0f', ARGV[2] + 1)
redis.call('HSET', KEYS[1], 'held', ARGV[2], 'successor', next, 'rotated', string.format('%.0f', now[1] * 1000))
return {session[1], next}";

/// The largest batch. There are fewer connections than that.
const MAX_BATCH: usize = 256;

/// Two values: the epoch of a session, and the end of its time in ms since 1970, or the counter of its next refresh token.
pub type Pair = (i64, u64);

struct Command {
    bytes: Vec<u8>,
    reply: oneshot::Sender<Option<Pair>>,
}

/// Finds and refreshes sessions. All commands that wait while a batch is under way are in the next one.
#[derive(Clone)]
pub struct Sessions {
    commands: mpsc::UnboundedSender<Command>,
    /// Names the script [`ROTATE`].
    digest: String,
}

impl Sessions {
    /// Connects to a Redis: `redis://HOST:PORT/DATABASE`.
    pub async fn connect(url: &str) -> io::Result<Self> {
        let mut stream = connect(url).await?;
        // A string of its length and the digest that names the script.
        let loaded = call(&mut stream, &["SCRIPT", "LOAD", ROTATE]).await?;
        let digest = loaded.lines().nth(1).unwrap_or_else(|| panic!("SCRIPT LOAD: {loaded}")).to_owned();
        let (commands, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move { run_batches(stream, receiver).await.expect("Redis responds") });
        Ok(Self { commands, digest })
    }

    /// Asks for the epoch and the end of a session. The question is sent when this function returns.
    pub fn find(&self, user: Uuid, session: Uuid) -> impl Future<Output = Option<Pair>> + use<> {
        self.send(encode(&["HMGET", &key(user, session), "epoch", "expires"]))
    }

    /// Replaces the refresh token with this counter. Returns the counter of the next one.
    pub async fn rotate(&self, user: Uuid, session: Uuid, epoch: i64, counter: u64) -> Option<u64> {
        let (key, epoch, counter) = (key(user, session), epoch.to_string(), counter.to_string());
        let rotated = self.send(encode(&["EVALSHA", &self.digest, "1", &key, &epoch, &counter])).await;
        rotated.map(|(_, next)| next)
    }

    fn send(&self, bytes: Vec<u8>) -> impl Future<Output = Option<Pair>> + use<> {
        let (reply, response) = oneshot::channel();
        let sent = self.commands.send(Command { bytes, reply });
        async move {
            sent.ok()?;
            response.await.ok()?
        }
    }
}

/// Sends a command and returns its response, which is short.
async fn call(stream: &mut TcpStream, words: &[&str]) -> io::Result<String> {
    stream.write_all(&encode(words)).await?;
    let mut response = [0; 256];
    let length = stream.read(&mut response).await?;
    Ok(String::from_utf8_lossy(&response[..length]).into_owned())
}

/// Opens a connection to the database at a URL: `redis://HOST:PORT/DATABASE`.
async fn connect(url: &str) -> io::Result<TcpStream> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("invalid URL `{url}`"));
    let (address, database) = url.strip_prefix("redis://").and_then(|rest| rest.split_once('/')).ok_or_else(invalid)?;
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let selected = call(&mut stream, &["SELECT", database]).await?;
    assert_eq!(selected, "+OK\r\n", "SELECT {database}");
    Ok(stream)
}

async fn run_batches(mut stream: TcpStream, mut receiver: mpsc::UnboundedReceiver<Command>) -> io::Result<()> {
    let (mut batch, mut requests, mut responses): (Vec<Command>, _, _) = (Vec::new(), Vec::new(), Vec::new());
    while receiver.recv_many(&mut batch, MAX_BATCH).await > 0 {
        requests.clear();
        for command in &mut batch {
            requests.append(&mut mem::take(&mut command.bytes));
        }
        stream.write_all(&requests).await?;
        responses.clear();
        let mut start = 0;
        for command in batch.drain(..) {
            let pair = loop {
                if let Some((pair, length)) = parse_pair(&responses[start..]) {
                    start += length;
                    break pair;
                }
                if stream.read_buf(&mut responses).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            };
            // The client of a dropped request does not wait any more.
            let _ = command.reply.send(pair);
        }
    }
    Ok(())
}

/// Parses an array of two strings, and returns it and its length in bytes. Returns `None` if it is incomplete, and no pair if
/// one of the strings is missing.
fn parse_pair(bytes: &[u8]) -> Option<(Option<Pair>, usize)> {
    let (count, start) = parse_line(bytes, 0)?;
    assert_eq!(count, "*2", "Redis responds with two values");
    let (first, start) = parse_string(bytes, start)?;
    let (second, end) = parse_string(bytes, start)?;
    Some((number(first).zip(number(second)), end))
}

fn parse_string(bytes: &[u8], start: usize) -> Option<(Option<&str>, usize)> {
    match parse_line(bytes, start)? {
        ("$-1", end) => Some((None, end)),
        (_, start) => parse_line(bytes, start).map(|(text, end)| (Some(text), end)),
    }
}

/// Returns the line that begins at `start`, and the start of the next one.
fn parse_line(bytes: &[u8], start: usize) -> Option<(&str, usize)> {
    let length = bytes[start..].windows(2).position(|end| end == b"\r\n")?;
    let line = std::str::from_utf8(&bytes[start..start + length]).expect("ASCII");
    Some((line, start + length + 2))
}

fn number<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

/// Encodes a command as an array of strings.
fn encode(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn key(user: Uuid, session: Uuid) -> String {
    format!("session:{{{user}}}:{session}")
}
