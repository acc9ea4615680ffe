//! The log line of a request, and the headers of every response.

use std::sync::{Arc, OnceLock};

use http_body_util::Full;
use hyper::{
    Method,
    body::Body as _,
    header::{self, HeaderName, HeaderValue},
};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{cors::CorsRequest, error::ApiError, response::Response};
use crate::{api_keys::ApiClientName, metrics::InFlightRequest};

/// For a year, as it is usually said: whoever has come by TLS shall not come without it (RFC 6797).
pub const TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=31536000");

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What browsers are told with every answer: that it is data, and never a page of its own, a part of another, or the place
/// that a request comes from (OWASP REST Security Cheat Sheet, "Security Headers"). `form-action`, `base-uri` and
/// `frame-ancestors` do not follow from `default-src` (CSP 3, section 6.1). There is no `Permissions-Policy`: it is about
/// pages alone.
static SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// The methods of RFC 9110, section 9, and RFC 5789.
static KNOWN_METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

/// What the log says of a request: one line, also where its caller does not wait for the answer.
pub struct RequestLog {
    pub(super) id: HeaderValue,
    pub(super) method: Method,
    pub(super) route: &'static str,
    pub(super) in_flight: InFlightRequest,
    pub(super) api_client: Arc<OnceLock<ApiClientName>>,
    pub(super) asked: CorsRequest,
    pub(super) transport_security: Option<HeaderValue>,
}

impl RequestLog {
    /// Writes the line, and puts on the headers that every response has.
    pub(super) fn finish(mut self, outcome: Result<Response, ApiError>) -> Response {
        let (code, cause) = match &outcome {
            Ok(_) => (None, None),
            Err(problem) => (problem.code(), problem.cause()),
        };
        let mut response = outcome.unwrap_or_else(ApiError::into_response);
        self.in_flight.answered(response.status().as_str());
        self.log(response.status().as_u16(), code, cause.as_deref());
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, self.id.clone());
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.extend(SECURITY_HEADERS.iter().cloned());
        headers.extend(self.transport_security.take().map(|value| (header::STRICT_TRANSPORT_SECURITY, value)));
        self.asked.apply(&mut response);
        // The answer to a HEAD says how long the body would be, and hyper would send that body over HTTP/2.
        if self.method == Method::HEAD {
            let length = response.body().size_hint().lower();
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            *response.body_mut() = Full::default();
        }
        response
    }

    fn log(&self, status: u16, code: Option<&str>, cause: Option<&str>) {
        let (id, method, route, duration_ms) = self.fields();
        let api_client = self.api_client.get().map(ApiClientName::as_str);
        match status {
            500 => error!(id, method, route, api_client, status, cause, duration_ms, "request failed"),
            503 => warn!(id, method, route, api_client, status, code, cause, duration_ms, "request refused"),
            _ => info!(id, method, route, api_client, status, code, duration_ms, "request"),
        }
    }

    pub(super) fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    fn fields(&self) -> (&str, &str, &'static str, f64) {
        let duration_ms = (self.in_flight.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        (self.id(), known(&self.method), self.route, duration_ms)
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        if !self.in_flight.is_answered() {
            let (id, method, route, duration_ms) = self.fields();
            let api_client = self.api_client.get().map(ApiClientName::as_str);
            info!(id, method, route, api_client, duration_ms, "request ended without an answer");
        }
    }
}

/// A method may be any token of any length: only those that HTTP knows are repeated.
pub fn known(method: &Method) -> &'static str {
    KNOWN_METHODS.iter().find(|known| *known == method).map_or("other", Method::as_str)
}

pub fn is_request_id(id: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=128).contains(&id.len()) && id.iter().all(is_allowed)
}

pub fn new_request_id() -> HeaderValue {
    let id = Uuid::new_v4().to_string();
    HeaderValue::from_str(&id).unwrap_or_else(|_| unreachable!("a UUID is visible ASCII"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_id_is_1_to_128_harmless_characters() {
        assert!(is_request_id(b"a.B-3_4"));
        assert!(is_request_id(&[b'x'; 128]));
        for id in [&b""[..], &[b'x'; 129], b"a b", b"a\nb", b"a\"b", "ä".as_bytes()] {
            assert!(!is_request_id(id), "{id:?}");
        }
    }

    proptest! {
        #[test]
        fn a_request_id_needs_no_quotes_wherever_it_is_written(
            id in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..3),
                prop::collection::vec(prop::sample::select(&b"azAZ09._-"[..]), 120..136),
            ],
        ) {
            let expected = str::from_utf8(&id).is_ok_and(|id| {
                (1..=128).contains(&id.len()) && id.chars().all(|c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-'))
            });

            prop_assert_eq!(is_request_id(&id), expected);
        }
    }
}
