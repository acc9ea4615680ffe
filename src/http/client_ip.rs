//! Whose request this is where proxies pass it on: the address that the last proxy which is trusted has seen.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use hyper::{HeaderMap, header::HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// The client's address: from the connection on, and then through the header from its right, the first one that is no
    /// trusted proxy's. Where a trusted proxy has passed on something that is no address, its own counts: what stands to the
    /// left of it may be anybody's invention. Where all are trusted, the leftmost.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        // Several lines are one list (RFC 9110, section 5.3).
        let hops = lines.into_iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops {
            if !self.trusts(client) {
                return client;
            }
            match str::from_utf8(hop).ok().and_then(address) {
                Some(address) => client = address,
                None => return client,
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An address, as proxies write it: by itself, in brackets, with a port. One with a zone is no address of a client.
fn address(hop: &str) -> Option<IpAddr> {
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
            network.map_err(|_| "none, or addresses and networks, as in 10.0.0.0/8,2001:db8::/32".to_owned())
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

    fn client(trusted: &str, peer: &str, lines: &[&str]) -> String {
        let trusted: TrustedProxies = trusted.parse().expect("networks");
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).expect("a value"));
        }
        trusted.client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn without_trusted_proxies_nobody_is_believed() {
        assert_eq!(client("none", PROXY, &["192.0.2.1"]), PROXY);
    }

    #[test]
    fn a_header_from_somebody_else_than_a_trusted_proxy_is_not_believed() {
        assert_eq!(client("10.0.0.0/8", "198.51.100.9", &["192.0.2.1"]), "198.51.100.9");
    }

    #[test]
    fn of_a_trusted_proxy_the_last_entry_counts_that_is_not_one() {
        assert_eq!(client("10.0.0.0/8", PROXY, &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client("10.0.0.0/8", PROXY, &["1.1.1.1, 192.0.2.1, 10.9.9.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.0/8", PROXY, &["1.1.1.1, 192.0.2.1"]), "192.0.2.1");
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(client("10.0.0.0/8", PROXY, &["1.1.1.1", "192.0.2.1, 10.9.9.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.0/8", PROXY, &["192.0.2.1", "10.9.9.9"]), "192.0.2.1");
    }

    #[test]
    fn where_a_trusted_proxy_passes_on_what_is_no_address_its_own_counts() {
        for line in [
            "unknown",
            "",
            "192.0.2.1, unknown",
            "192.0.2.1,",
            "192.0.2.1, 192.0.2.999",
            "192.0.2.1, [192.0.2.1]",
            "[fe80::1%8]:4",
        ] {
            assert_eq!(client("10.0.0.0/8", PROXY, &[line]), PROXY, "{line}");
        }
        assert_eq!(client("10.0.0.0/8", PROXY, &["192.0.2.1, x, 10.9.9.9"]), "10.9.9.9");
    }

    #[test]
    fn where_all_are_trusted_the_first_one_counts() {
        assert_eq!(client("10.0.0.0/8", PROXY, &["10.1.1.1, 10.2.2.2"]), "10.1.1.1");
        assert_eq!(client("10.0.0.0/8", PROXY, &[]), PROXY);
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (written, read) in [
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            (" \t192.0.2.1 ", "192.0.2.1"),
        ] {
            assert_eq!(client("10.0.0.0/8", PROXY, &[written]), read, "{written}");
        }
        assert_eq!(client("10.0.0.0/8", "::ffff:10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
    }

    #[test]
    fn trusted_proxies_are_networks_or_addresses() {
        for trusted in ["10.0.0.0/8, 2001:db8::/32,192.0.2.1", "192.0.2.1/32"] {
            assert_eq!(client(trusted, "192.0.2.1", &["198.51.100.9"]), "198.51.100.9", "{trusted}");
        }
        for wrong in ["10.0.0.0/33", "proxy.example.org", "10.0.0.1,", "*", "", "10.0.0.0/8 10.1.0.0/16"] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_a_client_writes_into_the_header_never_moves_its_address(invented in proptest::collection::vec("[ -~]{0,40}", 0..4)) {
            let mut lines: Vec<&str> = invented.iter().map(String::as_str).collect();
            // What the trusted proxy adds: at the end, as a line of its own or on the last one.
            lines.push("192.0.2.1");

            prop_assert_eq!(client("10.0.0.0/8", PROXY, &lines), "192.0.2.1");
        }
    }
}
