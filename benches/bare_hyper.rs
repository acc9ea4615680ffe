//! A minimal hyper server, the baseline for Postern: HTTP/1.1 on the same runtime, with the same response to every request.
//!
//!     cargo bench --bench bare_hyper -- --serve FILE
//!
//! Prints its address and serves until it is stopped. The file has the response, as `curl --include` prints it. Without `--serve`
//! it serves one request and ends.

use std::{convert::Infallible, fs, io, net::SocketAddr};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderMap, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
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
    if let Some(file) = std::env::args().skip_while(|argument| argument != "--serve").nth(1) {
        return serve(listener, Recorded::parse(&fs::read_to_string(file)?)?).await;
    }
    tokio::select! {
        ended = serve(listener, Recorded::parse("HTTP/1.1 200 OK\r\nx-request-id: 1\r\n\r\n{}")?) => ended,
        response = get(address) => {
            let response = response?;
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
            Ok(())
        }
    }
}

/// A response that is repeated. hyper adds the date and the length.
#[derive(Clone)]
struct Recorded {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Recorded {
    fn parse(text: &str) -> io::Result<Self> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, format!("invalid response: {text}"));
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(invalid)?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(invalid)?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").ok_or_else(invalid)?;
            let name: HeaderName = name.parse().map_err(|_| invalid())?;
            headers.append(name, HeaderValue::from_str(value).map_err(|_| invalid())?);
        }
        for added in [header::DATE, header::CONTENT_LENGTH] {
            headers.remove(added);
        }
        Ok(Self { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) })
    }

    async fn respond(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        // Otherwise hyper closes a connection whose body has not arrived together with its head.
        let _ = request.into_body().collect().await;
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        Ok(response)
    }
}

async fn serve(listener: TcpListener, recorded: Recorded) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let recorded = recorded.clone();
        let service = service_fn(move |request| recorded.clone().respond(request));
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
