//! What callers are answered where all went well.

use std::{borrow::Cow, time::Duration};

use http_body_util::Full;
use hyper::{
    StatusCode,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};
use serde::Serialize;

use crate::metrics;

/// The type of every body but that of the metrics.
const JSON: &str = "application/json";

/// An answer. Its body is whole: nothing is streamed.
pub type Response = hyper::Response<Full<Bytes>>;

/// What a handler answers.
pub trait IntoResponse {
    /// The answer as a response.
    fn into_response(self) -> Response;
}

/// 200 with a JSON body.
pub struct Json<T>(pub T);

/// 201 with a JSON body.
pub struct Created<T>(pub T);

/// 204: there is nothing to tell.
pub struct NoContent;

/// 200 without a body: what there is to tell stands in these headers.
pub struct Headers(pub Vec<(HeaderName, HeaderValue)>);

/// 200 or 503 with a JSON body: for probes.
pub struct Probe<T> {
    /// 200 where it is, 503 where it is not.
    pub is_ready: bool,
    /// What to tell.
    pub body: T,
}

/// 200 with metrics.
pub struct MetricsText(pub String);

/// 200 with a JSON text that is the same for everybody, and that caches may keep.
pub struct CachedJson {
    /// The text.
    pub text: Cow<'static, str>,
    /// How long caches may keep it, in whole seconds.
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
        let caching = HeaderValue::from_str(&format!("public, max-age={}", self.max_age.as_secs()));
        let caching = caching.unwrap_or_else(|_| unreachable!("words and a number are visible ASCII"));
        response.headers_mut().insert(header::CACHE_CONTROL, caching);
        response
    }
}

/// 204 that says which methods a path has.
pub fn options(allow: &str) -> Response {
    let mut response = no_content();
    response.headers_mut().insert(header::ALLOW, methods(allow));
    response
}

fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A list of methods as the value of `Allow`.
pub fn methods(allow: &str) -> HeaderValue {
    HeaderValue::from_str(allow).unwrap_or_else(|_| unreachable!("methods are visible ASCII"))
}

/// A response with a JSON body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).unwrap_or_else(|_| unreachable!("our bodies are structs of texts"));
    let mut response = with_body(body, JSON);
    *response.status_mut() = status;
    response
}

/// 200 with a body of this type.
fn with_body(body: impl Into<Bytes>, content_type: &'static str) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
