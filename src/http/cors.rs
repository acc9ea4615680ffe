//! CORS (Fetch, section 3.2): the origins whose scripts may read responses, and the headers that they may send. No origin by
//! default.
//!
//! Responses never allow credentials: Postern sets no cookies, so a browser has none to send.

use std::str::FromStr;

use hyper::{
    HeaderMap, Method,
    header::{self, HeaderName, HeaderValue},
};

use super::origin::Origins;

/// Request headers that a script may always send in addition to the CORS-safelisted ones: those that Postern reads, and those
/// that tracing libraries add to every request. W3C Trace Context and Baggage, Sentry, and Datadog's browser SDK.
const ALWAYS_ALLOWED: &str = "authorization, content-type, x-request-id, traceparent, tracestate, baggage, sentry-trace, \
    x-datadog-trace-id, x-datadog-parent-id, x-datadog-origin, x-datadog-sampling-priority, x-datadog-sampled";

/// Response headers that a script may read in addition to the CORS-safelisted ones.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("x-request-id, retry-after, www-authenticate");

/// How long a browser may cache a preflight response, in seconds. A removed origin can pass preflights for this long.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("600");

/// The origins whose scripts may read responses, and the request headers that they may send.
#[derive(Debug, Clone, Default)]
pub struct CorsPolicy {
    /// The origins.
    pub origins: Origins,
    /// The request headers.
    pub headers: AllowedHeaders,
}

/// The request headers that a script may send: those that Postern reads, those of tracing libraries, and others.
#[derive(Debug, Clone)]
pub struct AllowedHeaders(HeaderValue);

impl Default for AllowedHeaders {
    fn default() -> Self {
        Self(HeaderValue::from_static(ALWAYS_ALLOWED))
    }
}

impl FromStr for AllowedHeaders {
    type Err = String;

    /// Parses `none`, or the names of further headers. CORS compares names without regard to case.
    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "none or comma-separated names of headers such as x-tenant";
        let mut names: Vec<_> = ALWAYS_ALLOWED.split(", ").map(str::to_owned).collect();
        for name in text.split(',').map(str::trim).filter(|_| text != "none") {
            if name == "*" {
                return Err(format!("{EXPECTED}; `*` does not include authorization (Fetch, section 3.2.4)"));
            }
            if name.contains('*') {
                return Err(format!("{EXPECTED}; CORS has no patterns: name each header"));
            }
            let name = name.parse::<HeaderName>().map_err(|_| EXPECTED.to_owned())?.as_str().to_owned();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(", ").parse().map(Self).map_err(|_| EXPECTED.to_owned())
    }
}

impl CorsPolicy {
    /// Reads the CORS headers of a request.
    pub fn cors_request(&self, method: &Method, headers: &HeaderMap) -> CorsRequest {
        let is_preflight = method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        CorsRequest {
            depends_on_origin: !self.origins.is_empty(),
            preflight_headers: is_preflight.then(|| self.headers.0.clone()),
            origin: self.origins.matching(headers).cloned(),
        }
    }
}

/// The CORS headers of a request, checked against the allowed origins.
#[derive(Debug)]
pub struct CorsRequest {
    depends_on_origin: bool,
    /// The allowed request headers, for the response to a preflight request.
    preflight_headers: Option<HeaderValue>,
    origin: Option<HeaderValue>,
}

impl CorsRequest {
    /// Adds the CORS headers of the response.
    pub fn apply(self, headers: &mut HeaderMap) {
        if self.depends_on_origin {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = self.origin else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        // A path with a handler for OPTIONS, such as `/verify/`, responds without `Allow` and is not preflighted: only
        // proxies call it.
        match headers.get(header::ALLOW).cloned().zip(self.preflight_headers) {
            None => drop(headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS)),
            Some((allow, allowed_headers)) => headers.extend([
                (header::ACCESS_CONTROL_ALLOW_METHODS, allow),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers),
                (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS),
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        text.parse().map(|AllowedHeaders(value)| value.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn further_headers_are_added_to_those_always_allowed() {
        assert_eq!(parsed("X-Tenant,b3").as_deref(), Ok(&*format!("{ALWAYS_ALLOWED}, x-tenant, b3")));
        assert_eq!(parsed(" x-tenant ,\n\tX-TENANT, Authorization"), Ok(format!("{ALWAYS_ALLOWED}, x-tenant")));
        assert_eq!(parsed("none").as_deref(), Ok(ALWAYS_ALLOWED));
        assert_eq!(AllowedHeaders::default().0, ALWAYS_ALLOWED);
    }

    #[test]
    fn invalid_header_names_are_rejected() {
        for text in ["", "x-tenant,", "x tenant", "x:tenant", "ä", "none,x-tenant,("] {
            let error = parsed(text).expect_err(text);
            assert!(error.ends_with("comma-separated names of headers such as x-tenant"), "{text}: {error}");
        }
        for text in ["*", "x-tenant, *"] {
            assert!(parsed(text).expect_err(text).contains("`*` does not include authorization"), "{text}");
        }
        assert!(parsed("x-datadog-*").expect_err("a pattern").contains("CORS has no patterns"));
    }
}
