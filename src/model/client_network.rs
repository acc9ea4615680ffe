//! The network of a client.

use std::net::IpAddr;

use ipnet::IpNet;

/// The size of a network: the length of its prefix in bits.
#[derive(Debug, Clone, Copy)]
pub struct PrefixLength {
    /// 0 to 32.
    pub ipv4: u8,
    /// 0 to 128.
    pub ipv6: u8,
}

/// The unit that limits on memory and connections count by: an IPv4 address, or the /48 prefix of an IPv6 address. One IPv6
/// site has up to a /48 (RFC 6177, section 2), so a limit per /64 would be one that a site can multiply.
const SITE: PrefixLength = PrefixLength { ipv4: 32, ipv6: 48 };

/// A network of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientNetwork(IpNet);

impl ClientNetwork {
    /// Returns the network of this size that an address is in. An IPv4-mapped address is in that of its IPv4 address.
    ///
    /// # Panics
    /// Panics if the prefix is longer than an address.
    #[must_use]
    pub fn of(address: IpAddr, length: PrefixLength) -> Self {
        let address = address.to_canonical();
        let length = if address.is_ipv4() { length.ipv4 } else { length.ipv6 };
        Self(IpNet::new_assert(address, length).trunc())
    }

    /// Returns the first address of the network.
    #[must_use]
    pub fn first_address(self) -> IpAddr {
        self.0.addr()
    }
}

/// Returns the network that limits on memory and connections count by.
impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> Self {
        Self::of(address, SITE)
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
