//! The client's IP address behind trusted proxies. Rate limits, sessions and logs use this address.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use hyper::{HeaderMap, header::HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose `X-Forwarded-For` is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Returns the client's address: the first address that is not a trusted proxy, starting at the peer and reading the
    /// header from right to left. If all are trusted, it is the leftmost one. If a trusted proxy sent an entry that is not
    /// an address, it is the address of that proxy, because the client may have forged all entries further left.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let values: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        // Repeated headers form one list (RFC 9110, section 5.3).
        let hops = values.into_iter().rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops {
            if !self.trusts(client) {
                return client;
            }
            match str::from_utf8(hop).ok().and_then(parse_address) {
                Some(address) => client = address,
                None => return client,
            }
        }
        client
    }

    /// Returns whether the address is that of a trusted proxy.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
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
        let network = |part: &str| {
            let part = part.trim();
            let network = part.parse::<IpNet>().or_else(|_| part.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| {
                "`none`, or comma-separated addresses and networks such as 10.0.0.0/8,2001:db8::/32".to_owned()
            })
        };
        Ok(Self(text.split(',').map(network).collect::<Result<_, _>>()?))
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
        trusted.client(peer.parse().expect("an address"), &headers).to_string()
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
        for invalid in ["10.0.0.0/33", "proxy.example.org", "10.0.0.1,", "*", "", "10.0.0.0/8 10.1.0.0/16"] {
            assert!(invalid.parse::<TrustedProxies>().is_err(), "{invalid}");
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
