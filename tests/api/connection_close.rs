//! How connections end that nobody has done anything wrong on: with an answer, so that no request is lost on one that has
//! just been closed.

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

/// Asks once more, and is answered and told that this was the last answer.
async fn asks_for_the_last_time(stream: &mut TcpStream) {
    stream.write_all(HEALTH.as_bytes()).await.expect("it is open");
    expect_the_last_answer(&until_closed(stream).await);
}

#[track_caller]
fn expect_the_last_answer(answers: &str) {
    assert!(answers.starts_with("HTTP/1.1 200 "), "{answers:?}");
    assert!(answers.contains("\r\nconnection: close\r\n"), "{answers:?}");
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers:?}");
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

/// The client still has its end, and the server has said goodbye.
async fn expect_goodbye(connection: Connection) {
    let ended = within(LONG, "the server ends the connection", connection).await.expect("no panic");
    assert!(ended.is_ok(), "it was told: {ended:?}");
}

#[tokio::test]
async fn while_a_server_leaves_a_connection_ends_with_its_next_answer_and_not_before() {
    let service = with_timeouts(ENDLESS).await;
    let mut idle = sent(&service, HEALTH).await;
    healthy(&mut idle).await;

    service.leave();

    assert!(is_open(&mut idle).await, "it is not closed");
    asks_for_the_last_time(&mut idle).await;
    let mut new = service.connection().await;
    asks_for_the_last_time(&mut new).await;
}

#[tokio::test]
async fn a_request_that_was_under_way_before_is_answered_as_the_last_one_too() {
    let service = with_timeouts(ENDLESS).await;
    let body = json!({"refresh": "x"}).to_string();
    let mut stream = service.connection().await;
    send_head(&mut stream, "/logout/", "", body.len()).await;

    service.leave();
    stream.write_all(body.as_bytes()).await.expect("it is open");

    let answer = until_closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn whoever_asks_again_when_the_server_has_just_closed_is_answered() {
    let service = with_timeouts(ENDLESS).await;
    let mut idle = sent(&service, HEALTH).await;
    healthy(&mut idle).await;
    let mut silent = service.connection().await;
    // By the time that another one is answered, this has been accepted.
    service.get("/healthz").send().await.expect(200);

    closes(&service, idle.peer_addr().expect("an address")).await;

    asks_for_the_last_time(&mut idle).await;
    asks_for_the_last_time(&mut silent).await;
}

#[tokio::test]
async fn a_server_that_closes_waits_for_no_head_that_never_ends() {
    let service = with_timeouts(ConnectionTimeouts { closing_idle: SHORT, ..ENDLESS }).await;
    let mut stream = sent(&service, "GET /heal").await;

    service.stop();

    assert_eq!(until_closed(&mut stream).await, "");
}

#[tokio::test]
async fn a_server_that_closes_waits_for_nobody_who_does_nothing() {
    let service = with_timeouts(ConnectionTimeouts { closing_idle: SHORT, ..ENDLESS }).await;
    let mut idle = sent(&service, HEALTH).await;
    healthy(&mut idle).await;
    let mut silent = service.connection().await;

    service.stop();

    assert_eq!(until_closed(&mut idle).await, "");
    assert_eq!(until_closed(&mut silent).await, "");
}

#[tokio::test]
async fn a_connection_that_has_grown_old_ends_with_its_next_answer_and_not_before() {
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

    asks_for_the_last_time(&mut old).await;
}

#[tokio::test]
async fn a_server_that_leaves_says_so_over_http_2_and_answers_what_is_under_way() {
    let service = with_timeouts(ENDLESS).await;
    let (mut sender, connection) = http2_client(&service).await;
    let (send_body, body) = oneshot::channel();
    let body = async { Ok::<_, Infallible>(Frame::data(body.await.expect("a body"))) };
    let body = StreamBody::new(futures_util::stream::once(body)).boxed_unsync();
    let login = Request::post("http://postern.test/logout/").header("content-type", "application/json");
    let under_way = sender.send_request(login.body(body).expect("a request"));
    let health = health().map(BodyExt::boxed_unsync);
    // What is answered later has arrived later.
    assert_eq!(sender.send_request(health).await.expect("an answer").status(), 200);

    service.leave();
    service.get("/healthz").send().await.expect(200);
    send_body.send(Bytes::from_static(br#"{"refresh":"x"}"#)).expect("it is waited for");

    assert_eq!(under_way.await.expect("an answer").status(), 401);
    expect_goodbye(connection).await;
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
async fn what_a_client_of_http_2_still_says_does_not_reset_the_connection_that_its_answer_is_on() {
    let service = with_timeouts(ENDLESS).await;
    let get = [0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x84, 0x86];
    let mut stream = sent(&service, [PREFACE, SETTINGS, &get].concat()).await;
    service.leave();
    // PING, by which the server finds out that the client has heard of the end.
    let asked = frame(&mut stream, 6).await;
    let pong = [&[0, 0, 8, 6, 1, 0, 0, 0, 0], asked.as_slice()].concat();
    stream.write_all(&pong).await.expect("it is open");
    until_closed(&mut stream).await;

    // WINDOW_UPDATE: what has been read makes room for more.
    for _ in 0..2 {
        stream.write_all(&[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 15]).await.expect("it is read");
    }
}

#[tokio::test]
async fn a_client_of_http_2_that_comes_while_the_server_leaves_gets_what_it_came_for() {
    let service = with_timeouts(ENDLESS).await;
    service.leave();

    for _ in 0..20 {
        let (mut sender, connection) = http2_client(&service).await;
        // Time enough to be told too early.
        service.get("/healthz").send().await.expect(200);
        assert_eq!(sender.send_request(health()).await.expect("an answer").status(), 200);
        expect_goodbye(connection).await;
    }
}

#[tokio::test]
async fn a_connection_that_was_made_before_the_server_closed_is_answered() {
    let service = with_timeouts(ENDLESS).await;
    let address = service.connection().await.peer_addr().expect("an address");

    // This blocks, and with it the one thread on which the server would accept.
    let stream = std::net::TcpStream::connect(address).expect("the system accepts");
    service.stop();

    stream.set_nonblocking(true).expect("an option");
    let mut stream = TcpStream::from_std(stream).expect("a socket");
    asks_for_the_last_time(&mut stream).await;
}
