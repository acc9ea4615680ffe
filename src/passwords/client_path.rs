//! The networks and addresses that take turns on the hashing threads.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The path of a client in the queue of the hashing threads: its network and its address.
pub type ClientPath = (IpAddr, (IpAddr, ()));

/// Returns the path of a client: its network is the first 24 bits of IPv4 and the first 48 of IPv6, the most that one site
/// gets (RFC 6177); its address all of IPv4 and the first 64 bits of IPv6. Commands and other work of the server itself
/// share the path of `None`.
pub fn client_path(client: Option<IpAddr>) -> ClientPath {
    match client.map(|address| address.to_canonical()) {
        None => (Ipv4Addr::UNSPECIFIED.into(), (Ipv4Addr::UNSPECIFIED.into(), ())),
        Some(IpAddr::V4(address)) => {
            let network = Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << 8));
            (network.into(), (address.into(), ()))
        }
        Some(IpAddr::V6(address)) => {
            let prefix = |bits: u32| Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - bits))).into();
            (prefix(48), (prefix(64), ()))
        }
    }
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
