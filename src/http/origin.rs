//! Origins as browsers serialize them (HTML, "serialization of an origin").

use std::{net::Ipv6Addr, str::FromStr, sync::Arc};

use hyper::{
    Uri,
    header::{HeaderMap, HeaderValue, ORIGIN},
};

const EXPECTED: &str = "comma-separated origins such as https://app.example.org or capacitor://localhost";

/// The schemes whose default port browsers omit.
const DEFAULT_PORTS: [(&str, u16); 2] = [("http", 80), ("https", 443)];

/// An origin in the form in which browsers send it: `scheme://host` or `scheme://host:port`. The scheme may be any (RFC 3986,
/// section 3.1), because web views have their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl FromStr for Origin {
    type Err = String;

    /// Returns the expectation, and what is wrong, as the end of the sentence "expected …".
    fn from_str(text: &str) -> Result<Self, String> {
        check(text)
            .map_err(|fault| if fault.is_empty() { EXPECTED.to_owned() } else { format!("{EXPECTED}; {fault}") })?;
        HeaderValue::from_str(text).map(Self).map_err(|_| EXPECTED.to_owned())
    }
}

/// Returns an error if no browser sends this origin, or if allowing it would allow more than one application.
fn check(text: &str) -> Result<(), String> {
    if text == "*" {
        return Err("`*` would let every web page try passwords".to_owned());
    }
    if text == "null" || text.starts_with("file:") {
        return Err("every local file and every sandboxed frame has the origin `null`".to_owned());
    }
    if text.contains('*') {
        return Err("patterns are not supported: name each origin".to_owned());
    }
    if !text.is_ascii() {
        return Err("browsers send the ASCII form of a host name (xn--…)".to_owned());
    }
    let uri = text.parse::<Uri>().map_err(|_| String::new())?;
    let serialized = serialize(&uri).ok_or_else(String::new)?;
    if serialized == text { Ok(()) } else { Err(format!("browsers send this one as `{serialized}`")) }
}

/// Returns the scheme, host and port of a URL. Browsers write the scheme in lower case, and the host too if the scheme is
/// `http` or `https`; hosts of other schemes keep their case (URL Standard, "opaque host").
fn serialize(uri: &Uri) -> Option<String> {
    let scheme = uri.scheme_str().filter(|scheme| is_scheme(scheme))?.to_ascii_lowercase();
    let written_host = uri.host().filter(|host| !host.is_empty())?;
    let default_port = DEFAULT_PORTS.iter().find(|(known, _)| *known == scheme).map(|(_, port)| *port);
    let host = match written_host.strip_prefix('[').and_then(|address| address.strip_suffix(']')) {
        Some(address) => format!("[{}]", serialize_ipv6(address.parse().ok()?)),
        None if default_port.is_some() => written_host.to_ascii_lowercase(),
        None => written_host.to_owned(),
    };
    let written_port =
        uri.authority()?.as_str().rsplit('@').next()?.strip_prefix(written_host)?.trim_start_matches(':');
    let port = if written_port.is_empty() { None } else { Some(written_port.parse::<u16>().ok()?) };
    let port = port.filter(|port| Some(*port) != default_port);
    Some(format!("{scheme}://{host}{}", port.map(|port| format!(":{port}")).unwrap_or_default()))
}

/// Writes an address as the URL Standard does ("IPv6 serializer"), which never writes a dotted part.
fn serialize_ipv6(address: Ipv6Addr) -> String {
    match (address.to_ipv4_mapped(), address.segments()) {
        (Some(_), [.., high, low]) => format!("::ffff:{high:x}:{low:x}"),
        (None, _) => address.to_string(),
    }
}

/// Returns whether this is a scheme (RFC 3986, section 3.1): `Uri` takes an empty one too.
fn is_scheme(text: &str) -> bool {
    let is_scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(is_scheme_byte)
}

/// The origins whose scripts may read responses. If there are none, responses have no CORS headers.
#[derive(Debug, Clone, Default)]
pub struct Origins(Arc<[Origin]>);

impl FromIterator<Origin> for Origins {
    fn from_iter<I: IntoIterator<Item = Origin>>(origins: I) -> Self {
        Self(origins.into_iter().collect())
    }
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::default()),
            text => text.split(',').map(|origin| origin.trim().parse()).collect(),
        }
    }
}

impl Origins {
    /// Returns whether there is no origin.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the origin of the request if it is one of these, compared byte for byte.
    pub(super) fn matching<'headers>(&self, headers: &'headers HeaderMap) -> Option<&'headers HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        self.0.iter().any(|Origin(known)| known == origin).then_some(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(origin: &str) -> String {
        let error = origin.parse::<Origin>().expect_err(origin);
        let fault = error.strip_prefix(EXPECTED).expect("the expectation");
        fault.trim_start_matches("; ").to_owned()
    }

    #[test]
    fn origin_is_serialized_as_in_browsers() {
        for origin in [
            "https://app.example.org",
            "http://localhost:3000",
            "https://[::1]:8443",
            "http://x:443",
            "https://xn--4ca.example.org",
            "https://app.example.org.",
            "https://[::ffff:c000:201]",
        ] {
            assert!(origin.parse::<Origin>().is_ok(), "{origin}");
        }
    }

    #[test]
    fn origin_of_a_web_view_may_have_any_scheme() {
        for origin in [
            "capacitor://localhost",
            "ionic://localhost",
            "tauri://localhost",
            "http://tauri.localhost",
            "app://-",
            "app://obsidian.md",
            "com.example.app://localhost:8080",
            "chrome-extension://cfhdojbkjhnklbpkdaibdccddilifddb",
            "moz-extension://6b3b6f6c-3f3a-4b9e-9a57-0f1d2e3c4b5a",
            "safari-web-extension://E3449EA7-EC8B-4C2C-8E33-B6E1D6A5B1A2",
            "custom://host:80",
            "custom://host:443",
            "custom://8:8",
        ] {
            assert!(origin.parse::<Origin>().is_ok(), "{origin}: {:?}", origin.parse::<Origin>());
        }
    }

    #[test]
    fn origin_that_no_browser_sends_is_rejected_with_the_serialized_one() {
        for (origin, serialized) in [
            ("https://app.example.org/", "https://app.example.org"),
            ("https://app.example.org/path", "https://app.example.org"),
            ("https://app.example.org?query", "https://app.example.org"),
            ("https://app.example.org#fragment", "https://app.example.org"),
            ("https://user@app.example.org", "https://app.example.org"),
            ("https://user:secret@app.example.org", "https://app.example.org"),
            ("https://App.example.org", "https://app.example.org"),
            ("HTTPS://app.example.org", "https://app.example.org"),
            ("https://app.example.org:443", "https://app.example.org"),
            ("http://app.example.org:80", "http://app.example.org"),
            ("https://app.example.org:", "https://app.example.org"),
            ("https://app.example.org:08443", "https://app.example.org:8443"),
            ("https://[0:0::1]", "https://[::1]"),
            ("https://[::ffff:192.0.2.1]:443", "https://[::ffff:c000:201]"),
            ("Capacitor://localhost", "capacitor://localhost"),
            ("capacitor://localhost/", "capacitor://localhost"),
            ("tauri://user@localhost", "tauri://localhost"),
            ("app://host:0080", "app://host:80"),
        ] {
            assert_eq!(fault(origin), format!("browsers send this one as `{serialized}`"), "{origin}");
        }
    }

    #[test]
    fn text_without_scheme_and_host_is_no_origin() {
        for origin in [
            "",
            "app.example.org",
            "localhost:3000",
            "https://",
            "capacitor://",
            "capacitor:localhost",
            "://localhost",
            "1app://localhost",
            "a_b://localhost",
            "https://app.example.org https://b.example.org",
            "https://app.example.org:99999",
            "https://[::1",
        ] {
            assert_eq!(fault(origin), "", "{origin}");
        }
    }

    #[test]
    fn origin_that_stands_for_others_is_rejected_with_the_reason() {
        assert_eq!(fault("*"), "`*` would let every web page try passwords");
        for origin in ["null", "file://", "file:///index.html"] {
            assert_eq!(fault(origin), "every local file and every sandboxed frame has the origin `null`");
        }
        for origin in ["https://*.example.org", "capacitor://*", "*://localhost"] {
            assert_eq!(fault(origin), "patterns are not supported: name each origin");
        }
        assert_eq!(fault("https://\u{e4}.example.org"), "browsers send the ASCII form of a host name (xn--…)");
    }

    #[test]
    fn origins_are_compared_exactly() {
        let origins: Origins = "capacitor://localhost ,\n https://app.example.org".parse().expect("origins");
        let is_allowed = |origin: &'static str| {
            origins.matching(&HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))])).is_some()
        };

        assert!(is_allowed("capacitor://localhost") && is_allowed("https://app.example.org"));
        for origin in ["capacitor://LOCALHOST", "capacitor://localhost:80", "ionic://localhost", "null", "*", ""] {
            assert!(!is_allowed(origin), "{origin}");
        }
    }
}
