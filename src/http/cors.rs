//! Scripts of other origins (Fetch, section 3.2, "CORS protocol"): which may read answers. None by default.
//!
//! No cookie is used, so nothing of a user's is sent by a browser on its own, and no answer allows credentials.

use std::{str::FromStr, sync::Arc};

use hyper::{
    HeaderMap, Method, Uri,
    header::{self, HeaderValue},
    http::uri::Scheme,
};

use super::response::Response;

/// What a script may send beside what every script may.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, x-request-id");

/// What a script may read beside what every script may.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("x-request-id, retry-after, www-authenticate");

/// How long a browser may keep the answer to a preflight, in seconds: so long, at most, a path or origin that is removed
/// goes on being asked.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("600");

/// An origin as a browser writes it: `https://app.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const RIGHT: &str = "origins as browsers write them, as in https://app.example.org, parted by commas";
        if text == "*" {
            return Err(format!("{RIGHT}; `*` would let every page in the world try passwords"));
        }
        let is_written_so =
            !text.contains('*') && text.parse().is_ok_and(|uri: Uri| serialised(&uri).as_deref() == Some(text));
        let value = HeaderValue::from_str(text).ok().filter(|_| is_written_so);
        value.map(Self).ok_or_else(|| RIGHT.to_owned())
    }
}

/// Scheme, host and port of a URL as a browser writes them (HTML, "serialization of an origin"): in lower case, without
/// the port that goes with the scheme.
fn serialised(uri: &Uri) -> Option<String> {
    let scheme = uri.scheme().filter(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme))?;
    let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
    let default_port = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let port = uri.port_u16().filter(|port| *port != default_port);
    Some(format!("{scheme}://{host}{}", port.map(|port| format!(":{port}")).unwrap_or_default()))
}

/// The origins whose scripts may read answers. Where there are none, nothing is said of origins at all.
#[derive(Debug, Clone, Default)]
pub struct Origins(Arc<[Origin]>);

impl FromIterator<Origin> for Origins {
    fn from_iter<I: IntoIterator<Item = Origin>>(origins: I) -> Self {
        Self(origins.into_iter().collect())
    }
}

impl Origins {
    /// What a request asks for.
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

/// What a request asks for, of which origins are told.
#[derive(Debug)]
pub struct CorsRequest {
    depends_on_origin: bool,
    is_preflight: bool,
    origin: Option<HeaderValue>,
}

impl CorsRequest {
    /// Tells the browser whether the script may read the answer; to a preflight, what it may ask.
    pub fn apply(&mut self, response: &mut Response) {
        let headers = response.headers_mut();
        if self.depends_on_origin {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = self.origin.take() else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        // What has the method OPTIONS itself, as `/verify/` has, is asked by proxies: they get no preflight's answer.
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
    fn an_origin_is_written_as_browsers_write_it() {
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
    fn an_asterisk_is_refused_with_the_reason() {
        let error = "*".parse::<Origin>().expect_err("no origin");

        assert!(error.ends_with("`*` would let every page in the world try passwords"), "{error}");
    }
}
