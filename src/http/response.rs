//! Successful responses.

use std::{borrow::Cow, time::Duration};

use http_body_util::Full;
use hyper::{
    HeaderMap, StatusCode,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};
use serde::Serialize;

use crate::metrics;

pub const JSON: &str = "application/json";

/// The headers of nearly every response: a table of this size never grows while they are added.
const TYPICAL_HEADERS: usize = 12;

/// A response whose body is in memory: nothing is streamed.
pub type Response = hyper::Response<Full<Bytes>>;

/// The output of a handler.
pub trait IntoResponse {
    /// Converts the output to a response.
    fn into_response(self) -> Response;
}

/// 200 with a JSON body.
pub struct Json<T>(pub T);

/// 201 with a JSON body.
pub struct Created<T>(pub T);

/// 204 without a body.
pub struct NoContent;

/// 200 with these headers and without a body.
pub struct Headers(pub Vec<(HeaderName, HeaderValue)>);

/// 200 with a JSON text.
pub struct JsonText(pub Vec<u8>);

/// 200 with a JSON text, which browsers save as a file.
pub struct JsonFile {
    /// The body.
    pub text: Vec<u8>,
    /// The name of the file: letters, digits, `-` and `.`.
    pub name: &'static str,
}

/// The response of a probe: 200 or 503 with a JSON body.
pub struct Probe<T> {
    /// Selects 200 if true, and 503 if false.
    pub is_ready: bool,
    /// The body.
    pub body: T,
}

/// 200 with metrics in the Prometheus text format.
pub struct MetricsText(pub String);

/// 200 with a JSON text that is the same for all clients, and that caches may store.
pub struct CachedJson {
    /// The body.
    pub text: Cow<'static, str>,
    /// How long caches may store it. Fractions of a second are dropped.
    pub max_age: Duration,
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0)
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        json(StatusCode::CREATED, &self.0)
    }
}

impl IntoResponse for JsonText {
    fn into_response(self) -> Response {
        with_body(self.0, JSON)
    }
}

/// The output, or 204 without one.
impl<T: IntoResponse> IntoResponse for Option<T> {
    fn into_response(self) -> Response {
        self.map_or_else(no_content, IntoResponse::into_response)
    }
}

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        no_content()
    }
}

impl IntoResponse for Headers {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.headers_mut().extend(self.0);
        response
    }
}

impl<T: Serialize> IntoResponse for Probe<T> {
    fn into_response(self) -> Response {
        if self.is_ready {
            return json(StatusCode::OK, &self.body);
        }
        let mut response = json(StatusCode::SERVICE_UNAVAILABLE, &self.body);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        response
    }
}

impl IntoResponse for JsonFile {
    fn into_response(self) -> Response {
        let mut response = with_body(self.text, JSON);
        let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{}\"", self.name));
        let disposition = disposition.unwrap_or_else(|_| unreachable!("the name is visible ASCII"));
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
        response
    }
}

impl IntoResponse for MetricsText {
    fn into_response(self) -> Response {
        with_body(self.0, metrics::CONTENT_TYPE)
    }
}

impl IntoResponse for CachedJson {
    fn into_response(self) -> Response {
        let mut response = match self.text {
            Cow::Borrowed(text) => with_body(text, JSON),
            Cow::Owned(text) => with_body(text, JSON),
        };
        let cache_control = HeaderValue::from_str(&format!("public, max-age={}", self.max_age.as_secs()));
        let cache_control = cache_control.unwrap_or_else(|_| unreachable!("letters and digits are visible ASCII"));
        response.headers_mut().insert(header::CACHE_CONTROL, cache_control);
        response
    }
}

/// Returns the response to `OPTIONS`: 204 with the methods of the path.
pub fn options(allow: &str) -> Response {
    let mut response = no_content();
    response.headers_mut().insert(header::ALLOW, allow_header(allow));
    response
}

fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Converts a list of methods to the value of `Allow`.
pub fn allow_header(allow: &str) -> HeaderValue {
    HeaderValue::from_str(allow).unwrap_or_else(|_| unreachable!("methods are visible ASCII"))
}

/// Returns a response with a JSON body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).unwrap_or_else(|_| unreachable!("all bodies are structs of text"));
    let mut response = with_body(body, JSON);
    *response.status_mut() = status;
    response
}

fn with_body(body: impl Into<Bytes>, content_type: &'static str) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    *response.headers_mut() = HeaderMap::with_capacity(TYPICAL_HEADERS);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
