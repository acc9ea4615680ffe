//! Requests and answers.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::page;

/// A request in the making.
pub struct Asking {
    address: SocketAddr,
    listener: Listener,
    request: Request<Full<Bytes>>,
    body: Bytes,
}

/// Who is asked.
#[derive(PartialEq)]
enum Listener {
    /// The public API, which must answer as its OpenAPI page says.
    Public,
    /// The probes, which are on no page.
    Operations,
}

impl Asking {
    pub fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        let request = Request::builder().method(method).uri(path).header(header::HOST, "postern.test");
        let request = request.body(Full::default()).expect("a valid request");
        Self { address, listener: Listener::Public, request, body: Bytes::new() }
    }

    /// A question to an operations listener.
    pub fn operations(address: SocketAddr, path: &str) -> Self {
        Self { listener: Listener::Operations, ..Self::new(address, "GET", path) }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a valid header");
        self.request.headers_mut().append(HeaderName::from_static(name), value);
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    #[expect(clippy::needless_pass_by_value, reason = "a body is written where it is sent")]
    pub fn json(self, body: Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        *self.request.body_mut() = Full::new(self.body.clone());
        self.header("content-type", content_type)
    }

    pub async fn send(self) -> Answer {
        self.try_send().await.expect("an answer")
    }

    /// The answer, unless the server goes away before it is whole. An answer of the public API is one that its page
    /// foresees.
    pub async fn try_send(self) -> Option<Answer> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let connection = tokio::spawn(connection);
        let (asked, _) = self.request.clone().into_parts();
        let (parts, body) = sender.send_request(self.request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        connection.abort();
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body };
        if self.listener == Listener::Public {
            let judgement = page::judge(&asked, &self.body, &answer);
            judgement.unwrap_or_else(|fault| panic!("{} {}: {fault}\n{answer:?}", asked.method, asked.uri));
        }
        Some(answer)
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body, where the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:?}", self.body);
        self.json()
    }

    /// A refusal with this status and code, and with everything that every refusal has; gives its body.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.json()["code"].as_str()), (status, Some(code)), "{:?}", self.body);
        assert!(self.json()["error"].is_string(), "{:?}", self.body);
        match status {
            401 => assert!(self.text("www-authenticate").starts_with("Bearer realm=\"postern\""), "{self:?}"),
            429 | 503 => assert!(self.text("retry-after").parse::<u32>().is_ok_and(|wait| wait > 0), "{self:?}"),
            _ => {}
        }
        self.json()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub fn text(&self, header: &str) -> &str {
        self.headers.get(header).map_or("", |value| value.to_str().expect("a text"))
    }
}
