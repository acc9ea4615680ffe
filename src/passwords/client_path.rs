//! The networks and addresses that take turns on the hashing threads.

use std::net::{IpAddr, Ipv4Addr};

use crate::model::{ClientNetwork, PrefixLength};

/// The path of a client in the queue of the hashing threads: its network and its address.
pub type ClientPath = (IpAddr, (IpAddr, ()));

/// The networks that take turns: a /48 is the most that one IPv6 site gets (RFC 6177).
const NETWORK: PrefixLength = PrefixLength { ipv4: 24, ipv6: 48 };

/// The addresses that take turns within a network.
const ADDRESS: PrefixLength = PrefixLength { ipv4: 32, ipv6: 64 };

/// Returns the path of a client. Commands and other work of the server itself share the path of `None`.
pub fn client_path(client: Option<IpAddr>) -> ClientPath {
    let part = |length| {
        client.map_or(Ipv4Addr::UNSPECIFIED.into(), |address| ClientNetwork::of(address, length).first_address())
    };
    (part(NETWORK), (part(ADDRESS), ()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_24_bits_of_ipv4_and_48_of_ipv6() {
        let path = |address: &str| client_path(Some(address.parse().expect("an address")));
        let network = |address| path(address).0;
        let address = |address| path(address).1.0;

        assert_eq!(network("192.0.2.1"), network("192.0.2.200"));
        assert_ne!(network("192.0.2.1"), network("192.0.3.1"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:ffff::1"));
        assert_ne!(network("2001:db8:1::1"), network("2001:db8:2::1"));
        assert_eq!(address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff::1"));
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
        assert_eq!(path("::ffff:192.0.2.1"), path("192.0.2.1"));
    }
}
