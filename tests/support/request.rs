//! Requests and responses.

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

use super::{LONG, openapi, within};

/// A request, not sent yet.
pub struct RequestBuilder {
    address: SocketAddr,
    listener: Listener,
    request: Request<Full<Bytes>>,
    body: Bytes,
}

/// The listener that a request is for.
#[derive(PartialEq)]
enum Listener {
    /// The public API, whose responses must be those of the OpenAPI page.
    Public,
    /// Probes and metrics, which are on no page.
    Operations,
}

impl RequestBuilder {
    pub fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        let request = Request::builder().method(method).uri(path).header(header::HOST, "postern.test");
        let request = request.body(Full::default()).expect("a valid request");
        Self { address, listener: Listener::Public, request, body: Bytes::new() }
    }

    /// A request to an operations listener.
    pub fn operations(address: SocketAddr, path: &str) -> Self {
        Self { listener: Listener::Operations, ..Self::new(address, "GET", path) }
    }

    /// Does not check the response against the OpenAPI page, for requests that are sent in large numbers.
    pub fn unchecked(self) -> Self {
        Self { listener: Listener::Operations, ..self }
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

    pub async fn send(self) -> Response {
        self.try_send().await.expect("a response")
    }

    /// Returns the response, or `None` if the server goes away before it is whole. A response of the public API must be
    /// one that the OpenAPI page allows.
    pub async fn try_send(self) -> Option<Response> {
        within(LONG, "a response", self.exchange()).await
    }

    async fn exchange(self) -> Option<Response> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let connection = tokio::spawn(connection);
        let (asked, _) = self.request.clone().into_parts();
        let (parts, body) = sender.send_request(self.request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        connection.abort();
        let response = Response { status: parts.status.as_u16(), headers: parts.headers, body };
        if self.listener == Listener::Public {
            let outcome = openapi::check(&asked, &self.body, &response);
            outcome.unwrap_or_else(|fault| panic!("{} {}: {fault}\n{response:?}", asked.method, asked.uri));
        }
        Some(response)
    }
}

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Response {
    /// Returns the body of a response with this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:?}", self.body);
        self.json()
    }

    /// Returns the body of an error with this status and code, and with everything that every error has.
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
