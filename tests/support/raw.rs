//! Bytes to a server, and texts of HTTP and Prometheus.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use super::{LONG, eventually, within};

/// Sends bytes, shuts the write side down, and reads until the server closes the connection.
///
/// The server may close or reset it before it has read everything: the bytes received before that are returned.
pub async fn exchange_half_closed(mut stream: TcpStream, bytes: &[u8]) -> String {
    let _ = within(LONG, "the server takes the bytes", stream.write_all(bytes)).await;
    let _ = stream.shutdown().await;
    until_closed(&mut stream).await
}

/// Reads until the other side closes or resets the connection.
pub async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let _ = within(LONG, "the connection is closed", stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until the other side closes the connection, which must not be a reset.
pub async fn until_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    let reading = within(LONG, "the connection is closed", stream.read_to_string(&mut text)).await;
    reading.expect("an end that is no reset");
    text
}

/// Reads up to the first occurrence of `end`, and returns everything read.
pub async fn until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut text = String::new();
    let reading = async {
        while !text.ends_with(end) {
            let byte = stream.read_u8().await;
            text.push(char::from(byte.unwrap_or_else(|error| panic!("{error}: {text:?}"))));
        }
    };
    within(LONG, end, reading).await;
    text
}

/// Sends the head of a `POST` that announces a body of this length, and waits until the server asks for the body.
/// `headers` are further lines of the head.
pub async fn send_head(stream: &mut TcpStream, path: &str, headers: &str, body_bytes: usize) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\
         Expect: 100-continue\r\nContent-Length: {body_bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("the server takes the head");
    let asked = until(stream, "\r\n\r\n").await;
    assert_eq!(asked, "HTTP/1.1 100 Continue\r\n\r\n");
}

/// Waits until a listener accepts no connection.
pub async fn refuses_connections(address: SocketAddr) {
    let is_refused = async || TcpStream::connect(address).await.is_err();
    eventually(LONG, "connections are refused", is_refused).await;
}

/// Returns a header of a head of HTTP/1.1.
pub fn header<'head>(head: &'head str, name: &str) -> Option<&'head str> {
    head.lines().find_map(|line| {
        let (other, value) = line.split_once(':')?;
        other.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Returns a sample of a page of metrics, by its name and labels: `postern_logins_total{outcome="succeeded"}`.
#[track_caller]
pub fn sample<T: FromStr>(metrics: &str, name: &str) -> T {
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in\n{metrics}"))
}

/// The address of an attacker: another client network than that of every other client.
pub const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Connects from this address of the machine.
pub async fn connect_from(source: IpAddr, address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((source, 0).into()).expect("an address of this machine");
    within(LONG, "the server accepts", socket.connect(address)).await.expect("it accepts")
}
