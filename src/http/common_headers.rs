//! The headers of every response.

use http_body_util::Full;
use hyper::{
    Method,
    body::Body as _,
    header::{self, HeaderName, HeaderValue},
};

use super::{cors::CorsRequest, request_id::REQUEST_ID, response::Response};

/// HSTS (RFC 6797) for a year, the usual duration: browsers that connected by TLS must not connect without it.
pub const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Headers that tell browsers to treat every response as data: never as a page, as part of a page, or as the origin of a
/// request (OWASP REST Security Cheat Sheet, "Security Headers"). `form-action`, `base-uri` and `frame-ancestors` do not
/// fall back to `default-src` (CSP 3, section 6.1). `Permissions-Policy` is left out because it applies to pages only.
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

/// The headers of the response to one request, regardless of its outcome.
pub struct CommonHeaders {
    is_head: bool,
    cors: CorsRequest,
    hsts: Option<HeaderValue>,
}

impl CommonHeaders {
    pub fn new(method: &Method, cors: CorsRequest, hsts: Option<HeaderValue>) -> Self {
        Self { is_head: *method == Method::HEAD, cors, hsts }
    }

    /// Adds the headers. Removes the body of a response to `HEAD`, and keeps its length in `Content-Length`: hyper would
    /// send the body over HTTP/2.
    pub fn apply(self, mut response: Response, request_id: HeaderValue) -> Response {
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, request_id);
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        for (name, value) in &SECURITY_HEADERS {
            headers.insert(name, value.clone());
        }
        if let Some(hsts) = self.hsts {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
        }
        self.cors.apply(headers);
        if self.is_head {
            let length = response.body().size_hint().lower();
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            *response.body_mut() = Full::default();
        }
        response
    }
}
