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
//! - `CONNECT`: a route for any method would respond to it, and a success makes a proxy in front open a tunnel;
//! - a target that is neither `*` nor begins with a slash (RFC 9113, section 8.3.1; RFC 9112, section 3.2): hyper takes `GET x` over
//!   HTTP/1.1 for a host.
//!
//! A proxy in front may interpret each of these differently. hyper and h2 also limit the size of a head by different measures;
//! the limits here are the same for both protocols.

use hyper::{
    Method, Request, Version,
    header::{self, HeaderValue},
    http::uri::Authority,
};

use super::limits::{MAX_HEAD_BYTES, MAX_HEADERS};

/// Why a head is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// It is malformed or ambiguous.
    Malformed,
    /// It has more than [`MAX_HEADERS`], or takes more than [`MAX_HEAD_BYTES`].
    TooLarge,
}

/// Checks that the request names one host and a target of a known form, has no transfer coding but `chunked`, asks for no tunnel
/// and is not too large.
pub fn check<B>(request: &Request<B>) -> Result<(), HeadError> {
    let is_valid = *request.method() != Method::CONNECT
        && has_one_host(request)
        && has_valid_path(request)
        && is_chunked_at_most(request);
    if !is_valid {
        return Err(HeadError::Malformed);
    }
    if count(request) > MAX_HEADERS || bytes(request) > MAX_HEAD_BYTES {
        return Err(HeadError::TooLarge);
    }
    Ok(())
}

/// Returns the number of headers. All `Cookie` headers count as one, and so do `:authority` and `Host`.
fn count<B>(request: &Request<B>) -> usize {
    let headers = request.headers();
    let cookies = headers.get_all(header::COOKIE).iter().count();
    let is_host_missing = request.version() == Version::HTTP_2 && !headers.contains_key(header::HOST);
    headers.len() - cookies.saturating_sub(1) + usize::from(is_host_missing)
}

/// Returns the bytes of a head as HTTP/1.1 would send it, with its cookies in one header. Over HTTP/1.1 too: the limit of hyper
/// depends on how the head is split into segments.
fn bytes<B>(request: &Request<B>) -> usize {
    let (uri, headers) = (request.uri(), request.headers());
    let target = uri.path_and_query().map_or(1, |target| target.as_str().len());
    let line = request.method().as_str().len() + " ".len() + target + " HTTP/1.1\r\n".len();
    let is_host_missing = request.version() == Version::HTTP_2 && !headers.contains_key(header::HOST);
    let host = uri.authority().filter(|_| is_host_missing).map_or(0, |host| "host: \r\n".len() + host.as_str().len());
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + ": \r\n".len() + value.len());
    let cookies = headers.get_all(header::COOKIE).iter().count();
    // A further cookie takes `; ` instead of a line.
    let joined = cookies.saturating_sub(1) * ("cookie: \r\n".len() - "; ".len());
    line + host + fields.sum::<usize>() - joined + "\r\n".len()
}

fn has_valid_path<B>(request: &Request<B>) -> bool {
    let uri = request.uri();
    // Over HTTP/1.1, such a URI is a target without its slash.
    let is_host_alone = uri.scheme().is_none() && uri.authority().is_some();
    // `Uri::path` is `/` if there is only a query.
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    !is_host_alone && (request.version() != Version::HTTP_2 || target.starts_with('/') || target == "*")
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
        check(&request.body(()).expect("a request")).is_ok()
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

    /// Checks a request with this many headers besides the host and this many cookies, each in a header of its own.
    fn check_with(version: Version, headers: usize, cookies: &[&str]) -> Result<(), HeadError> {
        let request = Request::get("http://x/").version(version).header("host", "x");
        let request = (0..headers).fold(request, |request, number| request.header(format!("x-{number}"), "y"));
        let request = cookies.iter().fold(request, |request, cookie| request.header("cookie", *cookie));
        check(&request.body(()).expect("a request"))
    }

    #[test]
    fn cookies_count_as_one_header() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            assert_eq!(check_with(version, MAX_HEADERS - 1, &[]), Ok(()));
            assert_eq!(check_with(version, MAX_HEADERS, &[]), Err(HeadError::TooLarge));
            assert_eq!(check_with(version, MAX_HEADERS - 2, &["a=b"; 500]), Ok(()));
            assert_eq!(check_with(version, MAX_HEADERS - 1, &["a=b"]), Err(HeadError::TooLarge));
        }
    }

    #[test]
    fn head_has_at_most_32_kib_however_it_arrived() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let with = |padding: usize| {
                let request = Request::get("http://x/").version(version).header("host", "x");
                request.header("y", "z".repeat(padding)).body(()).expect("a request")
            };
            let padding = MAX_HEAD_BYTES - bytes(&with(0));

            assert_eq!(check(&with(padding)), Ok(()));
            assert_eq!(check(&with(padding + 1)), Err(HeadError::TooLarge));
        }
    }

    #[test]
    fn target_without_its_slash_is_malformed() {
        for uri in ["verify", "x:80", "a@b"] {
            assert!(!is_valid_with(Version::HTTP_11, uri, &[("host", "x")]), "{uri}");
        }
    }

    #[test]
    fn authority_counts_as_host() {
        let request = Request::get("http://x/").version(Version::HTTP_2);
        let with = |headers: usize| {
            (0..headers).fold(Request::get("http://x/").version(Version::HTTP_2), |request, number| {
                request.header(format!("x-{number}"), "y")
            })
        };

        assert_eq!(check(&request.body(()).expect("a request")), Ok(()));
        assert_eq!(check(&with(MAX_HEADERS - 1).body(()).expect("a request")), Ok(()));
        assert_eq!(check(&with(MAX_HEADERS).body(()).expect("a request")), Err(HeadError::TooLarge));
    }

    #[test]
    fn head_of_http2_has_the_size_that_it_has_in_http1() {
        for (cookies, text) in [
            (&[][..], "GET /a?b HTTP/1.1\r\nhost: x\r\nc: d\r\n\r\n"),
            (&["e=f"], "GET /a?b HTTP/1.1\r\nhost: x\r\nc: d\r\ncookie: e=f\r\n\r\n"),
            (&["e=f", "g", "h=i"], "GET /a?b HTTP/1.1\r\nhost: x\r\nc: d\r\ncookie: e=f; g; h=i\r\n\r\n"),
        ] {
            for uri in ["http://x/a?b", "/a?b"] {
                let request = Request::get(uri).version(Version::HTTP_2).header("c", "d");
                let request = if uri.starts_with('/') { request.header("host", "x") } else { request };
                let request = cookies.iter().fold(request, |request, cookie| request.header("cookie", *cookie));
                assert_eq!(bytes(&request.body(()).expect("a request")), text.len(), "{text}");
            }
        }
    }
}
