//! CORS (Fetch, section 3.2): the origins whose scripts may read responses. None by default.
//!
//! Responses never allow credentials: Postern sets no cookies, so a browser has none to send.

use std::{str::FromStr, sync::Arc};

use hyper::{
    HeaderMap, Method, Uri,
    header::{self, HeaderValue},
    http::uri::Scheme,
};

/// Request headers that a script may send in addition to the CORS-safelisted ones.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, x-request-id");

/// Response headers that a script may read in addition to the CORS-safelisted ones.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("x-request-id, retry-after, www-authenticate");

/// How long a browser may cache a preflight response, in seconds. A removed origin can pass preflights for this long.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("600");

/// An origin as browsers serialize it, such as `https://app.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "comma-separated origins such as https://app.example.org";
        if text == "*" {
            return Err(format!("{EXPECTED}; `*` would let every web page try passwords"));
        }
        let is_serialized =
            !text.contains('*') && text.parse().is_ok_and(|uri: Uri| serialize(&uri).as_deref() == Some(text));
        let value = HeaderValue::from_str(text).ok().filter(|_| is_serialized);
        value.map(Self).ok_or_else(|| EXPECTED.to_owned())
    }
}

/// Returns the scheme, host and port of a URL as browsers serialize them (HTML, "serialization of an origin"): in lower
/// case, without the default port of the scheme.
fn serialize(uri: &Uri) -> Option<String> {
    let scheme = uri.scheme().filter(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme))?;
    let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
    let default_port = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let port = uri.port_u16().filter(|port| *port != default_port);
    Some(format!("{scheme}://{host}{}", port.map(|port| format!(":{port}")).unwrap_or_default()))
}

/// The origins whose scripts may read responses. If there are none, responses have no CORS headers.
#[derive(Debug, Clone, Default)]
pub struct Origins(Arc<[Origin]>);

impl FromIterator<Origin> for Origins {
    fn from_iter<I: IntoIterator<Item = Origin>>(origins: I) -> Self {
        Self(origins.into_iter().collect())
    }
}

impl Origins {
    /// Reads the CORS headers of a request.
    pub fn cors_request(&self, method: &Method, headers: &HeaderMap) -> CorsRequest {
        let origin = headers.get(header::ORIGIN);
        let origin = origin.filter(|origin| self.0.iter().any(|Origin(known)| known == *origin));
        CorsRequest {
            depends_on_origin: !self.0.is_empty(),
            is_preflight: method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD),
            origin: origin.cloned(),
        }
    }
}

/// The CORS headers of a request, checked against the allowed origins.
#[derive(Debug)]
pub struct CorsRequest {
    depends_on_origin: bool,
    is_preflight: bool,
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
        match headers.get(header::ALLOW).cloned().filter(|_| self.is_preflight) {
            None => drop(headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS)),
            Some(allow) => headers.extend([
                (header::ACCESS_CONTROL_ALLOW_METHODS, allow),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
                (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS),
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_serialized_as_in_browsers() {
        for origin in ["https://app.example.org", "http://localhost:3000", "https://[::1]:8443", "http://x:443"] {
            assert!(origin.parse::<Origin>().is_ok(), "{origin}");
        }
        for origin in [
            "",
            "*",
            "null",
            "app.example.org",
            "https://",
            "https://app.example.org/",
            "https://app.example.org/path",
            "https://app.example.org?query",
            "https://user@app.example.org",
            "https://App.example.org",
            "https://app.example.org:443",
            "http://app.example.org:80",
            "https://app.example.org:",
            "https://*.example.org",
            "ftp://app.example.org",
            "https://app.example.org https://b.example.org",
            "https://\u{e4}.example.org",
        ] {
            assert!(origin.parse::<Origin>().is_err(), "{origin}");
        }
    }

    #[test]
    fn wildcard_origin_is_rejected_with_a_reason() {
        let error = "*".parse::<Origin>().expect_err("not an origin");

        assert!(error.ends_with("`*` would let every web page try passwords"), "{error}");
    }
}
