//! `postern health`.

use std::net::TcpListener;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Ended, Postern, Proxy, ReservedPort, database_url, empty_schema, redis_url};

/// Runs the command for an operations listener.
async fn health_of(listener: &str) -> Ended {
    Postern::new().with("POSTERN_OPS_LISTEN", listener).with("POSTERN_STORE_TIMEOUT", "1s").run(&["health"]).await
}

#[tokio::test]
async fn ready_server_is_healthy_on_each_backend() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        serving.ready().await;
        let port = serving.operations.port();

        for listener in [serving.operations.to_string(), format!("0.0.0.0:{port}"), format!("[::]:{port}")] {
            let text = health_of(&listener).await.expect_done();
            assert_eq!(text, format!("127.0.0.1:{port}: ready (users up, sessions up)\n"), "{listener}");
        }
    }
}

#[tokio::test]
async fn server_without_its_stores_is_unhealthy() {
    let proxy = Proxy::start(&database_url()).await;
    proxy.cut().await;
    let database = proxy.instead_of(&empty_schema().await);
    let serving = Postern::on(database, redis_url()).with_keys().await.serve().await;

    let ended = health_of(&serving.operations.to_string()).await;

    ended.expect_failed(1, "not ready: starting (users down, sessions up)");
}

#[tokio::test]
async fn stopped_server_is_unhealthy() {
    let port = ReservedPort::new();

    health_of(&port.address.to_string()).await.expect_failed(1, "no server responds");
}

#[tokio::test]
async fn server_that_does_not_respond_is_unhealthy_in_time() {
    // Connections stay in its backlog.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");

    health_of(&address.to_string()).await.expect_failed(1, "no response within 3s");
}

#[tokio::test]
async fn another_server_is_unhealthy() {
    let public = Postern::new().serve().await;
    health_of(&public.public.to_string()).await.expect_failed(1, "found another server (status 404)");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let mail = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"220 mail.example.org ESMTP\r\n").await.expect("it reads");
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let (ended, ()) = tokio::join!(health_of(&address), mail);
    ended.expect_failed(1, "found another server");
}

#[tokio::test]
async fn health_needs_only_the_settings_that_it_uses() {
    let serving = Postern::new().serve().await;
    serving.ready().await;
    let postern = Postern::new()
        .with("POSTERN_OPS_LISTEN", serving.operations.to_string())
        .with("POSTERN_TLS_KEY", "/missing")
        .with("DATABASE_URL_FILE", "/missing");

    postern.run(&["health"]).await.expect_done();
    health_of("127.0.0.1:0").await.expect_failed(64, "POSTERN_OPS_LISTEN: port 0");
}
