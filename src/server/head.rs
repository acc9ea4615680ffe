//! Heads of requests: which are taken. What two readers could read differently is refused (RFC 9112, sections 2.2, 3.2,
//! 6.1 and 11.2), whatever one of them would make of it.

use hyper::{
    Method, Request, Uri,
    header::{self, HeaderValue},
};

use crate::http::HeadError;

/// The largest head, in bytes.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;

/// The most headers.
pub const MAX_HEADERS: usize = 64;

/// How the body after a head is told from what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks (RFC 9112, section 7.1).
    Chunked,
}

/// A head of HTTP/1 that is whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// How many bytes it takes.
    pub length: usize,
    /// What comes after it.
    pub framing: Framing,
}

/// The head that these bytes begin with; `None` where its end has not arrived.
///
/// # Errors
/// As soon as nothing could follow that would make it a head to take.
pub fn read(bytes: &[u8]) -> Result<Option<Head>, HeadError> {
    // One empty line may come before a request (RFC 9112, section 2.2). More, one at a time, would have all of them read
    // again each time.
    if bytes.starts_with(b"\r\n\r\n") {
        return Err(HeadError::Malformed);
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    // The parser that hyper uses: what it reads is what hyper will read.
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(bytes).map_err(|error| match error {
        httparse::Error::TooManyHeaders => HeadError::TooLarge,
        _ => HeadError::Malformed,
    })?;
    let length = if let httparse::Status::Complete(length) = parsed { length } else { bytes.len() };
    if has_bare_line_feed(&bytes[..length]) {
        return Err(HeadError::Malformed);
    }
    if length > MAX_HEAD_BYTES || (parsed.is_partial() && length == MAX_HEAD_BYTES) {
        return Err(HeadError::TooLarge);
    }
    if parsed.is_partial() {
        return Ok(None);
    }
    let is_http_11 = request.version == Some(1);
    let is_taken = is_target(request.method.unwrap_or_default(), request.path.unwrap_or_default())
        && has_host(request.headers, is_http_11);
    let framing = framing(request.headers, is_http_11).filter(|_| is_taken).ok_or(HeadError::Malformed)?;
    Ok(Some(Head { length, framing }))
}

/// What HTTP/2 leaves to us: its frames tell where a body ends, and no other length may contradict them.
///
/// # Errors
/// Where a head is not to be taken.
pub fn check_http2<B>(request: &Request<B>) -> Result<(), HeadError> {
    let headers = request.headers();
    if headers.len() > MAX_HEADERS {
        return Err(HeadError::TooLarge);
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let is_length = lengths.next().is_none_or(|length| content_length(length.as_bytes()).is_some());
    let is_taken = is_length && lengths.next().is_none() && names_host(request) && request.method() != Method::CONNECT;
    if is_taken { Ok(()) } else { Err(HeadError::Malformed) }
}

/// By `:authority` or `Host`, or by both alike (RFC 9113, section 8.3.1).
fn names_host<B>(request: &Request<B>) -> bool {
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let mut hosts = request.headers().get_all(header::HOST).iter().map(HeaderValue::as_bytes);
    let host = match (authority, hosts.next()) {
        (Some(authority), Some(host)) => Some(host).filter(|host| host.eq_ignore_ascii_case(authority)),
        (authority, host) => authority.or(host),
    };
    host.is_some_and(is_authority) && hosts.next().is_none()
}

fn has_bare_line_feed(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(place, byte)| *byte == b'\n' && (place == 0 || bytes[place - 1] != b'\r'))
}

/// The origin form and the absolute form, and `*` for OPTIONS. We are no proxy that CONNECT could ask.
fn is_target(method: &str, target: &str) -> bool {
    let is_visible = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let has_form = target.starts_with('/') || is_absolute(target) || (target == "*" && method == "OPTIONS");
    is_visible && has_form && method != "CONNECT" && target.parse::<Uri>().is_ok()
}

fn is_absolute(target: &str) -> bool {
    let has_scheme = |scheme: &str| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    has_scheme("http://") || has_scheme("https://")
}

fn values<'head>(headers: &'head [httparse::Header<'head>], name: &str) -> impl Iterator<Item = &'head [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

/// One, and none only in HTTP/1.0 (RFC 9112, section 3.2).
fn has_host(headers: &[httparse::Header<'_>], is_http_11: bool) -> bool {
    let mut hosts = values(headers, "host");
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_authority(host),
        (None, _) => !is_http_11,
        (Some(_), Some(_)) => false,
    }
}

/// Host and port, without a user before them (RFC 3986, section 3.2).
fn is_authority(authority: &[u8]) -> bool {
    let is_literal = authority.starts_with(b"[");
    let end = authority.iter().position(|byte| if is_literal { *byte == b']' } else { *byte == b':' });
    let (host, port) = authority.split_at(end.map_or(authority.len(), |end| end + usize::from(is_literal)));
    let host = if is_literal { host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")) } else { Some(host) };
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte);
    let is_host = host.is_some_and(|host| host.iter().all(|byte| is_of_name(byte) || (is_literal && *byte == b':')));
    is_host && (port.is_empty() || (port[0] == b':' && port[1..].iter().all(u8::is_ascii_digit)))
}

/// How long the body is, where there is one way to tell.
fn framing(headers: &[httparse::Header<'_>], is_http_11: bool) -> Option<Framing> {
    let (mut lengths, mut encodings) = (values(headers, "content-length"), values(headers, "transfer-encoding"));
    match (lengths.next(), encodings.next()) {
        (None, None) => Some(Framing::Length(0)),
        (Some(length), None) => content_length(length).filter(|_| lengths.next().is_none()).map(Framing::Length),
        (None, Some(encoding)) => {
            let is_chunked = is_http_11 && encoding.eq_ignore_ascii_case(b"chunked") && encodings.next().is_none();
            is_chunked.then_some(Framing::Chunked)
        }
        (Some(_), Some(_)) => None,
    }
}

/// Digits, and nothing else: neither a sign nor a list of the same length twice.
fn content_length(value: &[u8]) -> Option<u64> {
    let is_digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    // The largest number stands for something else in hyper.
    str::from_utf8(value).ok().filter(|_| is_digits)?.parse().ok().filter(|length| *length < u64::MAX - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MALFORMED: Result<Option<Head>, HeadError> = Err(HeadError::Malformed);

    /// What is made of a head of these lines.
    fn read_lines(lines: &[&str]) -> Result<Option<Head>, HeadError> {
        read(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes())
    }

    fn framing_of(lines: &[&str]) -> Framing {
        read_lines(lines).expect("a head to take").expect("a whole head").framing
    }

    #[test]
    fn a_head_ends_with_its_empty_line() {
        let head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

        assert_eq!(read(&head[..head.len() - 1]), Ok(None));
        let whole = Head { length: head.len(), framing: Framing::Length(0) };
        assert_eq!(read(&[head.as_slice(), b"{\n\n\0"].concat()), Ok(Some(whole)));
        let later = Head { length: head.len() + 2, framing: Framing::Length(0) };
        assert_eq!(read(&[b"\r\n", head.as_slice()].concat()), Ok(Some(later)));
    }

    #[test]
    fn one_length_or_chunks_say_where_a_body_ends() {
        assert_eq!(framing_of(&["POST / HTTP/1.1", "Host: x", "Content-Length: 07"]), Framing::Length(7));
        assert_eq!(framing_of(&["POST / HTTP/1.1", "Host: x", "transfer-ENCODING:\tChunked "]), Framing::Chunked);
        assert_eq!(framing_of(&["POST / HTTP/1.0", "Content-Length: 7"]), Framing::Length(7));
    }

    #[test]
    fn two_ways_to_tell_where_a_body_ends_are_refused() {
        for headers in [
            &["Content-Length: 7", "Transfer-Encoding: chunked"][..],
            &["Transfer-Encoding: chunked", "Content-Length: 7"],
            &["Content-Length: 7", "Content-Length: 8"],
            &["Content-Length: 7", "Content-Length: 7"],
            &["Content-Length: 7, 7"],
            &["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
            &["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        ] {
            assert_eq!(read_lines(&[&["POST / HTTP/1.1", "Host: x"], headers].concat()), MALFORMED, "{headers:?}");
        }
    }

    #[test]
    fn a_length_is_digits_and_an_encoding_is_chunked() {
        for header in [
            "Content-Length: ",
            "Content-Length: +7",
            "Content-Length: -7",
            "Content-Length: 0x7",
            "Content-Length: 7 7",
            "Content-Length: 18446744073709551616",
            "Transfer-Encoding: ",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: \"chunked\"",
            "Transfer-Encoding: chunked;q=1",
        ] {
            assert_eq!(read_lines(&["POST / HTTP/1.1", "Host: x", header]), MALFORMED, "{header}");
        }
        assert_eq!(read_lines(&["POST / HTTP/1.0", "Host: x", "Transfer-Encoding: chunked"]), MALFORMED);
    }

    #[test]
    fn a_line_that_readers_differ_about_is_refused_as_soon_as_it_is_there() {
        for start in [
            "GET / HTTP/1.1\n",
            "GET / HTTP/1.1\r\nHost: x\n",
            "GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n",
            "GET / HTTP/1.1\r\n Host: x\r\n",
            "GET / HTTP/1.1\r\n: x\r\n",
            "GET / HTTP/1.1\r\nHost\r\n",
            "GET / HTTP/1.1\r\nHo\0st: x\r\n",
            "GET / HTTP/1.1\r\nX: a\0b\r\n",
            "GET / HTTP/1.1\r\nX: a\rb\r\n",
            "GET / HTTP/1.1\r\nX: a\u{7f}b\r\n",
            "GET / HTTP/1.1\r\nX: a\u{b}b\r\n",
            "GET /\r\n",
            "GET  / HTTP/1.1\r\n",
            "GET / HTTP/1.2\r\n",
            "GET / HTTP/2.0\r\n",
            "G\u{1}T / HTTP/1.1\r\n",
            "G(T / HTTP/1.1\r\n",
            "\u{16}\u{3}\u{1}",
        ] {
            assert_eq!(read(start.as_bytes()), MALFORMED, "{start:?}");
        }
    }

    #[test]
    fn there_is_one_host() {
        for headers in [&[][..], &["Host: x", "Host: x"], &["Host: x", "hOST: y"], &["Host: x/y"], &["Host: u@x"]] {
            assert_eq!(read_lines(&[&["GET / HTTP/1.1"], headers].concat()), MALFORMED, "{headers:?}");
        }
        for host in ["Host: x:y", "Host: x:1:2", "Host: [::1", "Host: [::1]x", "Host: ::1", "Host: x y", "Host: [x]:y"]
        {
            assert_eq!(read_lines(&["GET / HTTP/1.1", host]), MALFORMED, "{host}");
        }
        for host in ["Host: x", "Host: x:80", "Host: x:", "Host: [::1]:80", "Host: [::1]", "Host:"] {
            assert!(read_lines(&["GET / HTTP/1.1", host]).is_ok(), "{host}");
        }
        assert!(read_lines(&["GET / HTTP/1.0"]).is_ok());
        assert_eq!(read_lines(&["GET / HTTP/1.0", "Host: x", "Host: x"]), MALFORMED);
    }

    #[test]
    fn a_target_is_a_path_or_a_url() {
        for line in ["GET /a?b=%00 HTTP/1.1", "GET http://x/a HTTP/1.1", "OPTIONS * HTTP/1.1", "BREW /pot HTTP/1.1"] {
            assert!(read_lines(&[line, "Host: x"]).is_ok(), "{line}");
        }
        for line in [
            "GET * HTTP/1.1",
            "GET a HTTP/1.1",
            "GET x:80 HTTP/1.1",
            "GET ftp://x/ HTTP/1.1",
            "GET /a#b HTTP/1.1",
            "GET /\u{e4} HTTP/1.1",
            "GET /\u{7f} HTTP/1.1",
            "CONNECT x:80 HTTP/1.1",
            "CONNECT /verify/ HTTP/1.1",
        ] {
            assert_eq!(read_lines(&[line, "Host: x"]), MALFORMED, "{line}");
        }
    }

    #[test]
    fn a_head_has_64_headers_and_32_kib_at_most() {
        let with = |count: usize, padding: usize| {
            let headers = "X: y\r\n".repeat(count - 2);
            read(format!("GET / HTTP/1.1\r\nHost: x\r\nP: {}\r\n{headers}\r\n", "p".repeat(padding)).as_bytes())
        };
        let others = "GET / HTTP/1.1\r\nHost: x\r\nP: \r\n\r\n".len();

        assert!(with(64, 1).is_ok());
        assert_eq!(with(65, 1), Err(HeadError::TooLarge));
        assert!(with(2, MAX_HEAD_BYTES - others).is_ok());
        assert_eq!(with(2, MAX_HEAD_BYTES - others + 1), Err(HeadError::TooLarge));
        assert_eq!(read("a".repeat(MAX_HEAD_BYTES).as_bytes()), Err(HeadError::TooLarge));
    }

    #[test]
    fn http_2_has_no_second_length_or_host_and_no_tunnel() {
        let check = |method: &str, headers: &[(&str, &str)]| {
            let request = Request::builder().method(method).uri("http://x/");
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            check_http2(&request.body(()).expect("a request"))
        };

        assert_eq!(check("POST", &[("content-length", "7"), ("host", "X")]), Ok(()));
        assert_eq!(check_http2(&Request::get("/").body(()).expect("a request")), Err(HeadError::Malformed));
        for headers in [
            &[("content-length", "7"), ("content-length", "7")][..],
            &[("content-length", "+7")],
            &[("host", "x"), ("host", "x")],
            &[("host", "y")],
        ] {
            assert_eq!(check("POST", headers), Err(HeadError::Malformed), "{headers:?}");
        }
        assert_eq!(check("CONNECT", &[]), Err(HeadError::Malformed));
        assert_eq!(check("GET", &[("x", "y"); MAX_HEADERS + 1]), Err(HeadError::TooLarge));
    }
}
