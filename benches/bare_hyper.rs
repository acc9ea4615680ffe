//! The least that a server on hyper can be, to be driven beside Postern: HTTP/1.1 on a runtime like ours, with one answer
//! to everything, which is what Postern answers to `/healthz`.
//!
//!     cargo bench --bench bare_hyper -- --serve
//!
//! Prints its address and serves until it is stopped. Without `--serve` it answers one request and ends.

#[path = "speed/bare.rs"]
mod bare;

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
        answer = ask(address) => {
            let answer = answer?;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            Ok(())
        }
    }
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(bare::answer)));
    }
}

async fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
