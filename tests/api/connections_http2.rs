//! Limits of HTTP/2 connections in time, and of clients that reset requests.

use hyper_util::rt::{TokioExecutor, TokioIo};
use postern::{http::RequestLimits, server::ConnectionTimeouts};
use tokio::io::AsyncWriteExt as _;

use super::{
    Service,
    connections::{ENDLESS, LATE, PREFACE, SETTINGS, SHORT, sent, with_timeouts},
};
use crate::support::{LONG, Settings, until_closed, within};

#[tokio::test]
async fn stalled_http_2_connection_is_closed() {
    let service = with_timeouts(ConnectionTimeouts { head: SHORT, ..ENDLESS }).await;
    let headers = [0, 0, 3, 1, 1, 0, 0, 0, 1, 0x82, 0x84, 0x86];
    let begun = [PREFACE, SETTINGS].concat();

    for start in [
        &PREFACE[..10],
        PREFACE,
        &[PREFACE, &SETTINGS[..5]].concat(),
        // An incomplete frame, and an incomplete header block.
        &[begun.as_slice(), &headers[..10]].concat(),
        &[begun.as_slice(), &headers].concat(),
    ] {
        let mut stream = sent(&service, start).await;
        until_closed(&mut stream).await;
    }
}

#[tokio::test]
async fn idle_http_2_client_gets_goaway() {
    let service = with_timeouts(ConnectionTimeouts { idle: LATE, ..ENDLESS }).await;
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(service.connection().await));
    let (mut sender, connection) = handshake.await.expect("a connection");
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get("http://postern.test/healthz");
    let request = request.body(http_body_util::Full::<hyper::body::Bytes>::default()).expect("a request");
    assert_eq!(sender.send_request(request).await.expect("a response").status().as_u16(), 200);

    let ended = within(LONG, "the server ends the connection", connection).await.expect("no panic");

    assert!(ended.is_ok(), "the end is announced: {ended:?}");
}

#[tokio::test]
async fn http_2_client_without_a_window_is_disconnected() {
    let limits = RequestLimits { request: SHORT, store: LONG };
    let timeouts = Some(ConnectionTimeouts { request: SHORT, ..ENDLESS });
    let service = Service::start_with(Settings { limits, timeouts, ..Settings::default() }).await;
    // SETTINGS_INITIAL_WINDOW_SIZE of 0: no byte of any body.
    let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    let get = [0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x84, 0x86];

    let mut stream = sent(&service, [PREFACE, &settings, &get].concat()).await;

    until_closed(&mut stream).await;
}

#[tokio::test]
async fn client_that_resets_its_requests_is_disconnected() {
    let service = with_timeouts(ENDLESS).await;
    let mut stream = sent(&service, [PREFACE, SETTINGS].concat()).await;

    for stream_id in (1_u32..).step_by(2).take(1000) {
        let [a, b, c, d] = stream_id.to_be_bytes();
        let (get, reset) = ([0, 0, 3, 1, 5, a, b, c, d, 0x82, 0x84, 0x86], [0, 0, 4, 3, 0, a, b, c, d, 0, 0, 0, 8]);
        if stream.write_all(&[&get[..], &reset].concat()).await.is_err() {
            break;
        }
    }

    until_closed(&mut stream).await;
}
