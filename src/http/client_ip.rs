//! The client's IP address behind trusted proxies. Rate limits, sessions and logs use this address.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use hyper::{
    HeaderMap,
    header::{self, HeaderName},
};

use super::networks::{InvalidNetworks, Networks};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The headers in which proxies name their clients: the one that is read, the one of RFC 7239, and that of many examples for
/// nginx.
static FORWARDING_HEADERS: [HeaderName; 3] = [X_FORWARDED_FOR, header::FORWARDED, HeaderName::from_static("x-real-ip")];

/// The proxies whose `X-Forwarded-For` is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Networks);

/// The client of a request, as its peer and its headers show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardedClient {
    /// The client's address.
    pub address: IpAddr,
    /// Why that may be the address of a proxy.
    pub problem: Option<ForwardingProblem>,
}

/// A reason why the address of a proxy may count as that of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardingProblem {
    /// The peer is not a trusted proxy and sent this forwarding header.
    UntrustedPeer {
        /// The name of the header.
        header: &'static str,
    },
    /// A trusted proxy sent no `X-Forwarded-For`.
    MissingHeader,
    /// A trusted proxy sent `Forwarded` and no `X-Forwarded-For`.
    OnlyForwarded,
    /// A trusted proxy sent an entry in `X-Forwarded-For` that is not an address.
    InvalidHeader,
}

impl ForwardingProblem {
    /// Returns the label of the problem in the metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::UntrustedPeer { .. } => "untrusted_peer",
            Self::MissingHeader => "missing_header",
            Self::OnlyForwarded => "only_forwarded",
            Self::InvalidHeader => "invalid_header",
        }
    }
}

impl TrustedProxies {
    /// Returns the client. Its address is the first one that is not a trusted proxy, starting at the peer and reading the
    /// header from right to left. If all are trusted, it is the leftmost one. If a trusted proxy sent an entry that is not
    /// an address, it is the address of that proxy, because the client may have forged all entries further left.
    #[must_use]
    pub fn resolve(&self, peer: IpAddr, headers: &HeaderMap) -> ForwardedClient {
        let mut address = peer.to_canonical();
        if !self.trusts(address) {
            let header = FORWARDING_HEADERS.iter().find(|name| headers.contains_key(*name));
            let problem = header.map(|header| ForwardingProblem::UntrustedPeer { header: header.as_str() });
            return ForwardedClient { address, problem };
        }
        let values: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        if values.is_empty() {
            let has_forwarded = headers.contains_key(header::FORWARDED);
            let problem =
                if has_forwarded { ForwardingProblem::OnlyForwarded } else { ForwardingProblem::MissingHeader };
            return ForwardedClient { address, problem: Some(problem) };
        }
        // Repeated headers form one list (RFC 9110, section 5.3).
        let hops = values.into_iter().rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops {
            let Some(forwarded) = str::from_utf8(hop).ok().and_then(parse_address) else {
                return ForwardedClient { address, problem: Some(ForwardingProblem::InvalidHeader) };
            };
            address = forwarded;
            if !self.trusts(address) {
                break;
            }
        }
        ForwardedClient { address, problem: None }
    }

    /// Returns whether the address is that of a trusted proxy.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.contain(address)
    }
}

/// Parses an address as proxies write it: bare, in brackets, or with a port. Rejects an address with an IPv6 zone, which
/// is only valid on the proxy's own host.
fn parse_address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim_matches([' ', '\t']);
    if hop.contains('%') {
        return None;
    }
    let bracketed = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).filter(|hop| hop.contains(':'));
    let address = bracketed.unwrap_or(hop).parse::<IpAddr>();
    let address = address.or_else(|_| hop.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::default());
        }
        text.parse().map(Self).map_err(|invalid: InvalidNetworks| match invalid {
            InvalidNetworks::Syntax => format!("`none`, or {invalid}"),
            InvalidNetworks::HostBits { .. } => invalid.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn client(trusted: &str, peer: &str, values: &[&str]) -> String {
        let trusted: TrustedProxies = trusted.parse().expect("networks");
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        }
        trusted.resolve(peer.parse().expect("an address"), &headers).address.to_string()
    }

    #[test]
    fn without_trusted_proxies_the_peer_is_the_client() {
        assert_eq!(client("none", PROXY, &["192.0.2.1"]), PROXY);
    }

    #[test]
    fn header_from_an_untrusted_peer_is_ignored() {
        assert_eq!(client("10.0.0.0/8", "198.51.100.9", &["192.0.2.1"]), "198.51.100.9");
    }

    #[test]
    fn client_is_the_last_address_that_is_not_a_trusted_proxy() {
        assert_eq!(client("10.0.0.0/8", PROXY, &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client("10.0.0.0/8", PROXY, &["1.1.1.1, 192.0.2.1, 10.9.9.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.0/8", PROXY, &["1.1.1.1, 192.0.2.1"]), "192.0.2.1");
    }

    #[test]
    fn repeated_headers_form_one_list() {
        assert_eq!(client("10.0.0.0/8", PROXY, &["1.1.1.1", "192.0.2.1, 10.9.9.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.0/8", PROXY, &["192.0.2.1", "10.9.9.9"]), "192.0.2.1");
    }

    #[test]
    fn proxy_that_sends_an_invalid_entry_is_the_client() {
        for value in [
            "unknown",
            "",
            "192.0.2.1, unknown",
            "192.0.2.1,",
            "192.0.2.1, 192.0.2.999",
            "192.0.2.1, [192.0.2.1]",
            "[fe80::1%8]:4",
        ] {
            assert_eq!(client("10.0.0.0/8", PROXY, &[value]), PROXY, "{value}");
        }
        assert_eq!(client("10.0.0.0/8", PROXY, &["192.0.2.1, x, 10.9.9.9"]), "10.9.9.9");
    }

    #[test]
    fn if_all_are_trusted_the_first_address_is_the_client() {
        assert_eq!(client("10.0.0.0/8", PROXY, &["10.1.1.1, 10.2.2.2"]), "10.1.1.1");
        assert_eq!(client("10.0.0.0/8", PROXY, &[]), PROXY);
    }

    #[test]
    fn addresses_are_parsed_as_proxies_write_them() {
        for (value, expected) in [
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            (" \t192.0.2.1 ", "192.0.2.1"),
        ] {
            assert_eq!(client("10.0.0.0/8", PROXY, &[value]), expected, "{value}");
        }
        assert_eq!(client("10.0.0.0/8", "::ffff:10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
    }

    #[test]
    fn trusted_proxies_are_addresses_or_networks() {
        for trusted in ["10.0.0.0/8, 2001:db8::/32,192.0.2.1", "192.0.2.1/32"] {
            assert_eq!(client(trusted, "192.0.2.1", &["198.51.100.9"]), "198.51.100.9", "{trusted}");
        }
        for invalid in [
            "10.0.0.0/33",
            "proxy.example.org",
            "10.0.0.1,",
            "*",
            "",
            "10.0.0.0/8 10.1.0.0/16",
            "none,10.0.0.1",
            "None",
        ] {
            assert!(invalid.parse::<TrustedProxies>().is_err(), "{invalid}");
        }
    }

    #[test]
    fn network_that_would_trust_clients_or_nobody_is_rejected() {
        let too_large = ["0.0.0.0/0", "::/0", "0.0.0.0/1", "10.0.0.0/7", "fc00::/6", "10.8.0.0/24,0.0.0.0/0"];
        for too_large in too_large.into_iter().chain(["2000::/7", "2000::/15", "fe00::/15"]) {
            assert!(too_large.parse::<TrustedProxies>().is_err(), "{too_large}");
        }
        for mapped in ["::ffff:10.0.0.1", "::ffff:10.8.0.0/120"] {
            assert!(mapped.parse::<TrustedProxies>().is_err(), "{mapped}");
        }
        for largest in ["10.0.0.0/8", "fc00::/7", "fd00::/8", "2001::/16"] {
            assert!(largest.parse::<TrustedProxies>().is_ok(), "{largest}");
        }
    }

    #[test]
    fn network_with_host_bits_is_rejected() {
        for (invalid, expected) in [
            ("10.8.0.5/8", "the network 10.0.0.0/8 or the address 10.8.0.5 instead of 10.8.0.5/8"),
            ("10.8.0.5,10.9.0.1/24", "the network 10.9.0.0/24 or the address 10.9.0.1 instead of 10.9.0.1/24"),
            ("fd12::1/8", "the network fd00::/8 or the address fd12::1 instead of fd12::1/8"),
        ] {
            assert_eq!(invalid.parse::<TrustedProxies>(), Err(expected.to_owned()));
        }
        for address in ["10.8.0.5/32", "fd12::1/128"] {
            assert!(address.parse::<TrustedProxies>().is_ok(), "{address}");
        }
    }

    proptest! {
        #[test]
        fn forged_entries_never_change_the_client_address(forged in proptest::collection::vec("[ -~]{0,40}", 0..4)) {
            let mut values: Vec<&str> = forged.iter().map(String::as_str).collect();
            // The trusted proxy appends this address.
            values.push("192.0.2.1");

            prop_assert_eq!(client("10.0.0.0/8", PROXY, &values), "192.0.2.1");
        }
    }
}
