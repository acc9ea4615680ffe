//! Orderly ends of connections: with a response, so that no request is lost on a connection that has just been closed.

use std::convert::Infallible;

use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    Request,
    body::{Body, Bytes, Frame},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use postern::server::ConnectionTimeouts;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use super::{
    Service,
    connections::{ENDLESS, HEALTH, PREFACE, SETTINGS, SHORT, healthy, sent, with_timeouts},
};
use crate::support::{LONG, Settings, eventually, refuses_connections, send_head, until_closed, within};

/// Sends one more request, whose response is the last one.
async fn send_last_request(stream: &mut TcpStream) {
    stream.write_all(HEALTH.as_bytes()).await.expect("it is open");
    expect_the_last_response(&until_closed(stream).await);
}

#[track_caller]
fn expect_the_last_response(responses: &str) {
    assert!(responses.starts_with("HTTP/1.1 200 "), "{responses:?}");
    assert!(responses.contains("\r\nconnection: close\r\n"), "{responses:?}");
    assert_eq!(responses.matches("HTTP/1.1 ").count(), 1, "{responses:?}");
}

async fn is_open(stream: &mut TcpStream) -> bool {
    timeout(5 * SHORT, stream.read_u8()).await.is_err()
}

async fn closes(service: &Service, address: std::net::SocketAddr) {
    service.stop();
    refuses_connections(address).await;
}

type Connection = JoinHandle<hyper::Result<()>>;

/// A client of HTTP/2, and its connection.
async fn http2_client<B>(service: &Service) -> (SendRequest<B>, Connection)
where
    B: Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static,
{
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(service.connection().await));
    let (sender, connection) = handshake.await.expect("a connection");
    (sender, tokio::spawn(connection))
}

fn health() -> Request<Full<Bytes>> {
    Request::get("http://postern.test/healthz").body(Full::default()).expect("a request")
}

/// The server ends the connection by GOAWAY while the client keeps it.
async fn expect_graceful_close(connection: Connection) {
    let ended = within(LONG, "the server ends the connection", connection).await.expect("no panic");
    assert!(ended.is_ok(), "the end is announced: {ended:?}");
}

#[tokio::test]
async fn draining_server_closes_a_connection_after_its_next_response() {
    let service = with_timeouts(ENDLESS).await;
    let mut idle = sent(&service, HEALTH).await;
    healthy(&mut idle).await;

    service.leave();

    assert!(is_open(&mut idle).await, "it is not closed");
    send_last_request(&mut idle).await;
    let mut new = service.connection().await;
    send_last_request(&mut new).await;
}

#[tokio::test]
async fn request_in_flight_is_answered_as_the_last_one() {
    let service = with_timeouts(ENDLESS).await;
    let body = json!({"refresh": "x"}).to_string();
    let mut stream = service.connection().await;
    send_head(&mut stream, "/logout/", "", body.len()).await;

    service.leave();
    stream.write_all(body.as_bytes()).await.expect("it is open");

    let response = until_closed(&mut stream).await;
    assert!(response.starts_with("HTTP/1.1 401 ") && response.contains("\r\nconnection: close\r\n"), "{response}");
}

#[tokio::test]
async fn request_on_an_idle_connection_is_answered_after_the_close() {
    let service = with_timeouts(ENDLESS).await;
    let mut idle = sent(&service, HEALTH).await;
    healthy(&mut idle).await;
    let mut silent = service.connection().await;
    // When another request has been answered, this one has been accepted.
    service.get("/healthz").send().await.expect(200);

    closes(&service, idle.peer_addr().expect("an address")).await;

    send_last_request(&mut idle).await;
    send_last_request(&mut silent).await;
}

#[tokio::test]
async fn closing_server_does_not_wait_for_an_endless_request_head() {
    let service = with_timeouts(ConnectionTimeouts { closing_idle: SHORT, ..ENDLESS }).await;
    let mut stream = sent(&service, "GET /heal").await;

    service.stop();

    assert_eq!(until_closed(&mut stream).await, "");
}

#[tokio::test]
async fn closing_server_does_not_wait_for_idle_connections() {
    let service = with_timeouts(ConnectionTimeouts { closing_idle: SHORT, ..ENDLESS }).await;
    let mut idle = sent(&service, HEALTH).await;
    healthy(&mut idle).await;
    let mut silent = service.connection().await;

    service.stop();

    assert_eq!(until_closed(&mut idle).await, "");
    assert_eq!(until_closed(&mut silent).await, "");
}

#[tokio::test]
async fn old_connection_closes_after_its_next_response() {
    let settings = Settings { timeouts: Some(ENDLESS), connection_age: SHORT, ..Settings::default() };
    let service = Service::start_with(settings).await;
    let mut old = sent(&service, HEALTH).await;
    // On a busy machine, a connection may be old by its first response.
    eventually(LONG, "a response within the age of a connection", async || {
        let is_old = healthy(&mut old).await.contains("\r\nconnection: close\r\n");
        if is_old {
            old = sent(&service, HEALTH).await;
        }
        !is_old
    })
    .await;

    assert!(is_open(&mut old).await, "it is not closed");

    send_last_request(&mut old).await;
}

#[tokio::test]
async fn draining_server_sends_goaway_and_answers_requests_in_flight() {
    let service = with_timeouts(ENDLESS).await;
    let (mut sender, connection) = http2_client(&service).await;
    let (send_body, body) = oneshot::channel();
    let body = async { Ok::<_, Infallible>(Frame::data(body.await.expect("a body"))) };
    let body = StreamBody::new(futures_util::stream::once(body)).boxed_unsync();
    let login = Request::post("http://postern.test/logout/").header("content-type", "application/json");
    let in_flight = sender.send_request(login.body(body).expect("a request"));
    let health = health().map(BodyExt::boxed_unsync);
    // The request that is answered has arrived after that one.
    assert_eq!(sender.send_request(health).await.expect("a response").status(), 200);

    service.leave();
    service.get("/healthz").send().await.expect(200);
    send_body.send(Bytes::from_static(br#"{"refresh":"x"}"#)).expect("it is waited for");

    assert_eq!(in_flight.await.expect("a response").status(), 401);
    expect_graceful_close(connection).await;
}

/// Returns the payload of the next frame of HTTP/2 that has this type.
async fn frame(stream: &mut TcpStream, kind: u8) -> Vec<u8> {
    let reading = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.expect("a frame");
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            stream.read_exact(&mut payload).await.expect("all of it");
            if head[3] == kind {
                return payload;
            }
        }
    };
    within(LONG, "a frame", reading).await
}

#[tokio::test]
async fn late_http_2_frames_do_not_reset_the_last_response() {
    let service = with_timeouts(ENDLESS).await;
    let get = [0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x84, 0x86];
    let mut stream = sent(&service, [PREFACE, SETTINGS, &get].concat()).await;
    service.leave();
    // PING, by which the server learns that the client has got the GOAWAY.
    let asked = frame(&mut stream, 6).await;
    let pong = [&[0, 0, 8, 6, 1, 0, 0, 0, 0], asked.as_slice()].concat();
    stream.write_all(&pong).await.expect("it is open");
    until_closed(&mut stream).await;

    // WINDOW_UPDATE, as a client sends after it has read.
    for _ in 0..2 {
        stream.write_all(&[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 15]).await.expect("it is read");
    }
}

#[tokio::test]
async fn new_http_2_client_of_a_draining_server_is_answered() {
    let service = with_timeouts(ENDLESS).await;
    service.leave();

    for _ in 0..20 {
        let (mut sender, connection) = http2_client(&service).await;
        // Gives a GOAWAY the time to come too early.
        service.get("/healthz").send().await.expect(200);
        assert_eq!(sender.send_request(health()).await.expect("a response").status(), 200);
        expect_graceful_close(connection).await;
    }
}

#[tokio::test]
async fn connection_made_before_the_close_is_answered() {
    let service = with_timeouts(ENDLESS).await;
    let address = service.connection().await.peer_addr().expect("an address");

    // This blocks the one thread on which the server would accept.
    let stream = std::net::TcpStream::connect(address).expect("the system accepts");
    service.stop();

    stream.set_nonblocking(true).expect("an option");
    let mut stream = TcpStream::from_std(stream).expect("a socket");
    send_last_request(&mut stream).await;
}
