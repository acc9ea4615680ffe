//! The smuggling corpus, sent through real proxies that share one connection to the server between all clients.
//!
//! The proxies deny sign-ups: one that is carried out was smuggled past them. If a client that sends a request right after an
//! attack does not get its own response, the shared connection was poisoned.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    client::{Connection, Responses, get},
    corpus::CORPUS,
    server::Server,
    support::ReverseProxy,
};

async fn nginx(backend: SocketAddr) -> ReverseProxy {
    let http = format!(
        "upstream postern {{ server {backend}; keepalive 1; }}
        server {{
            listen unix:socket;
            client_header_timeout 2s;
            client_body_timeout 2s;
            keepalive_timeout 1s;
            lingering_close off;
            location /create-user {{ return 403; }}
            location / {{
                proxy_pass http://postern;
                proxy_http_version 1.1;
                proxy_set_header Connection '';
                proxy_request_buffering off;
            }}
        }}"
    );
    ReverseProxy::nginx(&http).await
}

async fn haproxy(backend: SocketAddr) -> ReverseProxy {
    let configuration = format!(
        "global
            nbthread 1
        defaults
            mode http
            timeout connect 10s
            timeout server 30s
            timeout client 2s
            timeout http-request 2s
            http-reuse always
        frontend public
            bind unix@socket
            http-request deny if {{ path_beg /create-user }}
            default_backend postern
        backend postern
            server postern {backend} maxconn 1\n"
    );
    ReverseProxy::start("haproxy", &["-db", "-f", "configuration"], &configuration).await
}

/// Sends requests through a proxy and reads all responses.
async fn sent(proxy: &ReverseProxy, requests: &str) -> Responses {
    let mut connection = Connection(proxy.connect().await);
    connection.send(requests).await;
    connection.until_closed().await
}

/// Sends the requests of three victims, one after the other. Returns the first wrong response.
async fn poisoned(proxy: &ReverseProxy) -> Option<String> {
    for id in ["first-victim", "second-victim", "third-victim"] {
        let responses = sent(proxy, &get("/healthz", id)).await;
        if (responses.statuses(), responses.ids()) != (vec![200], vec![id]) {
            return Some(format!("{id} got {responses:?}"));
        }
    }
    None
}

/// Returns the probes that carry out a sign-up or poison the connection.
async fn smuggled(server: &Server, proxy: &ReverseProxy) -> Vec<String> {
    let mut found = Vec::new();
    for (probe, line) in CORPUS.iter().flat_map(|probe| ["POST /token/", "GET /healthz"].map(|line| (probe, line))) {
        let before = server.sign_ups().await;
        let bytes = probe.bytes(line, "mallory@example.org");
        let responses = sent(proxy, &(bytes + &get("/healthz", "last"))).await;
        let victims = poisoned(proxy).await;
        if responses.ids().contains(&"smuggled") || server.sign_ups().await != before {
            found.push(format!("{}, {line}: the sign-up was carried out: {responses:?}", probe.name));
        }
        found.extend(victims.map(|fault| format!("{}, {line}: {fault}", probe.name)));
    }
    found
}

#[tokio::test]
async fn nothing_is_smuggled_past_nginx() {
    let server = Server::start_with(&[("POSTERN_REQUEST_TIMEOUT", "2s")]).await;
    let proxy = nginx(server.address()).await;

    let found = smuggled(&server, &proxy).await;

    assert_eq!(found, Vec::<String>::new(), "{found:#?}");
    drop(proxy);
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn nothing_is_smuggled_past_haproxy() {
    let server = Server::start_with(&[("POSTERN_REQUEST_TIMEOUT", "2s")]).await;
    let proxy = haproxy(server.address()).await;

    let found = smuggled(&server, &proxy).await;

    assert_eq!(found, Vec::<String>::new(), "{found:#?}");
    drop(proxy);
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn clients_share_one_connection_of_a_proxy() {
    let server = Server::start().await;

    for proxy in [nginx(server.address()).await, haproxy(server.address()).await] {
        assert_eq!(poisoned(&proxy).await, None);
        let before = server.accepted().await;
        for _ in 0..5 {
            assert_eq!(poisoned(&proxy).await, None);
        }
        assert_eq!(server.accepted().await, before);
    }
}

/// A vulnerable server: it ignores Content-Length and takes the body of each request for the next request.
async fn vulnerable_server(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        tokio::spawn(async move { respond_to_heads(&mut stream).await });
    }
}

async fn respond_to_heads(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.is_ok_and(|length| length > 0) {
        while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = bytes.drain(..end + 4).collect();
            let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
            let id = text.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap_or_default();
            let response = format!("HTTP/1.1 200 OK\r\nX-Request-Id: {id}\r\nContent-Length: 0\r\n\r\n");
            if stream.write_all(response.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

#[tokio::test]
async fn corpus_detects_a_vulnerable_server() {
    for line in ["POST /token/", "GET /healthz"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(vulnerable_server(listener));
        let probe = CORPUS.iter().find(|probe| probe.name == "white space around a length").expect("the probe");
        let mut is_found = false;

        for proxy in [haproxy(address).await, nginx(address).await] {
            let bytes = probe.bytes(line, "mallory@example.org");
            let responses = sent(&proxy, &(bytes + &get("/healthz", "last"))).await;
            is_found |= responses.ids() != ["probe", "last"] || poisoned(&proxy).await.is_some();
        }

        assert!(is_found, "{line}");
        serving.abort();
    }
}
