//! The network of a client: the unit that limits on memory and connections count by.

use std::net::IpAddr;

/// A client's network: an IPv4 address, or the /48 prefix of an IPv6 address. One IPv6 site has up to a /48 (RFC 6177,
/// section 2), so a limit per /64 would be one that a site can multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientNetwork(u64);

impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(u64::from(address.to_bits())),
            IpAddr::V6(address) => {
                let [a, b, c, ..] = address.segments().map(u64::from);
                // The highest bit tells a prefix from an IPv4 address.
                Self((1 << 48) | (a << 32) | (b << 16) | c)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> ClientNetwork {
        address.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn ipv4_addresses_are_networks_of_their_own() {
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
    }

    #[test]
    fn ipv6_addresses_of_a_site_are_one_network() {
        assert_eq!(network("2001:db8:1::1"), network("2001:db8:1:ffff:ffff::2"));
        assert_ne!(network("2001:db8:1::1"), network("2001:db8:2::1"));
        assert_ne!(network("0:c000:201::1"), network("192.0.2.1"));
    }
}
