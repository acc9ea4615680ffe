//! Checks of a parsed request head that hyper 1.12.0 (with httparse 1.10.1 and h2 0.4.20) does not make.
//!
//! hyper rejects heads that httparse cannot parse, Content-Lengths that are not digits or differ, a Transfer-Encoding
//! whose last coding is not `chunked`, and any in HTTP/1.0. If a request has both headers, it uses Transfer-Encoding,
//! removes Content-Length, and closes the connection after the response (RFC 9112, section 6.3). h2 rejects malformed
//! requests (RFC 9113, sections 8.1.1 to 8.3). They do not reject:
//!
//! - a request of HTTP/1.1 without `Host`, or any request with several, or with an invalid one (RFC 9112, section 3.2);
//! - a request of HTTP/2 without `:authority` and `Host`, or with two that differ (RFC 9113, section 8.3.1);
//! - codings before the last `chunked`: `chunked, chunked`, `gzip, chunked` (RFC 9112, section 6.1). hyper decodes one
//!   `chunked` and keeps the connection open.
//! - `CONNECT`: a route for any method would respond to it, and a success makes a proxy in front open a tunnel.
//!
//! A proxy in front may interpret each of these differently.

use hyper::{
    Method, Request, Version,
    header::{self, HeaderValue},
    http::uri::Authority,
};

/// Returns whether the request names one host, no transfer coding but `chunked`, and asks for no tunnel.
pub fn is_valid<B>(request: &Request<B>) -> bool {
    *request.method() != Method::CONNECT && has_one_host(request) && is_chunked_at_most(request)
}

fn has_one_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter().map(HeaderValue::as_bytes);
    let host = hosts.next();
    let is_named = match (request.version(), host, request.uri().authority()) {
        (Version::HTTP_2, Some(host), Some(authority)) => host.eq_ignore_ascii_case(authority.as_str().as_bytes()),
        (Version::HTTP_2, None, Some(authority)) => is_host(authority.as_str().as_bytes()),
        (Version::HTTP_10, None, _) => true,
        (_, host, _) => host.is_some(),
    };
    is_named && host.is_none_or(is_host) && hosts.next().is_none()
}

/// Returns whether this is a host with an optional port and no user (RFC 9110, section 7.2). An empty one is valid.
fn is_host(value: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(value) else { return value.is_empty() };
    let (host, authority) = (authority.host(), authority.as_str());
    let port = authority.strip_prefix(host).and_then(|rest| rest.strip_prefix(':'));
    host == authority || port.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_chunked_at_most<B>(request: &Request<B>) -> bool {
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_valid_with(version: Version, uri: &str, headers: &[(&str, &str)]) -> bool {
        let request = Request::post(uri).version(version);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        is_valid(&request.body(()).expect("a request"))
    }

    #[test]
    fn http1_request_has_one_valid_host() {
        for headers in [
            &[][..],
            &[("host", "x"), ("host", "x")],
            &[("host", "x/y")],
            &[("host", "u@x")],
            &[("host", "x y")],
            &[("host", "x, y")],
            &[("host", "x:y")],
            &[("host", "x:1:2")],
            &[("host", "::1")],
            &[("host", "[::1")],
            &[("host", "[::1]x")],
            &[("host", "[x]:y")],
        ] {
            assert!(!is_valid_with(Version::HTTP_11, "/", headers), "{headers:?}");
        }
        for host in ["", "x", "x:", "x:80", "[::1]", "[::1]:80"] {
            assert!(is_valid_with(Version::HTTP_11, "/", &[("host", host)]), "{host:?}");
            assert!(is_valid_with(Version::HTTP_11, "http://y/", &[("host", host)]), "{host:?}");
        }
    }

    #[test]
    fn http1_0_request_needs_no_host() {
        assert!(is_valid_with(Version::HTTP_10, "/", &[]));
        assert!(!is_valid_with(Version::HTTP_10, "/", &[("host", "x"), ("host", "x")]));
        assert!(!is_valid_with(Version::HTTP_10, "/", &[("host", "x/y")]));
    }

    #[test]
    fn http2_request_names_one_host() {
        assert!(is_valid_with(Version::HTTP_2, "http://x/", &[]));
        assert!(is_valid_with(Version::HTTP_2, "http://x/", &[("host", "X")]));
        assert!(is_valid_with(Version::HTTP_2, "/", &[("host", "x")]));
        for (uri, headers) in [
            ("/", &[][..]),
            ("http://x/", &[("host", "y")]),
            ("http://x/", &[("host", "x"), ("host", "x")]),
            ("http://u@x/", &[]),
            ("http://x:y/", &[]),
        ] {
            assert!(!is_valid_with(Version::HTTP_2, uri, headers), "{uri} {headers:?}");
        }
    }

    #[test]
    fn chunked_is_the_only_transfer_coding() {
        let with = |codings: &[&str]| {
            let codings = codings.iter().map(|coding| ("transfer-encoding", *coding));
            is_valid_with(Version::HTTP_11, "/", &[("host", "x")].into_iter().chain(codings).collect::<Vec<_>>())
        };

        assert!(with(&["Chunked"]));
        for codings in
            [&["chunked, chunked"][..], &["gzip, chunked"], &["chunked", "chunked"], &["identity", "chunked"]]
        {
            assert!(!with(codings), "{codings:?}");
        }
    }
}
