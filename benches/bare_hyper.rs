//! A minimal hyper server, the baseline for Postern: HTTP/1.1 on the same runtime, with the response of Postern's `/healthz`
//! to every request.
//!
//!     cargo bench --bench bare_hyper -- --serve
//!
//! Prints its address and serves until it is stopped. Without `--serve` it serves one request and ends.

#[path = "speed/baseline_response.rs"]
mod baseline_response;

use std::{io, net::SocketAddr};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("http://{address}");
    let serve = serve(listener);
    if std::env::args().any(|argument| argument == "--serve") {
        return serve.await;
    }
    tokio::select! {
        ended = serve => ended,
        response = get(address) => {
            let response = response?;
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
            Ok(())
        }
    }
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(baseline_response::respond);
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn get(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}
