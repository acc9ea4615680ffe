//! Lists of networks in settings.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv6Net};

/// The shortest prefix of an IPv4 network: that of the largest private one, 10.0.0.0/8 (RFC 1918). If every address were a
/// trusted proxy, clients could choose their address.
const MIN_PREFIX_IPV4: u8 = 8;

/// The shortest prefix of an IPv6 network outside [`UNIQUE_LOCAL`]: `2000::/7` has half of all addresses that are in use on
/// the internet.
const MIN_PREFIX_IPV6: u8 = 16;

/// The private networks of IPv6 (RFC 4193). A network may be as large.
const UNIQUE_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);

/// A list of networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Returns whether an address, in its canonical form, is in one of the networks.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Why a list of networks is invalid. Its text completes the sentence "expected …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetworks {
    /// An entry is no network, or one that is too large.
    #[error(
        "comma-separated addresses and networks such as 10.8.0.0/24,2001:db8::/64, no larger than /{MIN_PREFIX_IPV4} (IPv4) or \
         /{MIN_PREFIX_IPV6} (IPv6 outside {UNIQUE_LOCAL})"
    )]
    Syntax,
    /// A network does not begin at its first address.
    #[error("the network {} or the address {} instead of {network}", network.trunc(), network.addr())]
    HostBits {
        /// The network.
        network: IpNet,
    },
}

impl FromStr for Networks {
    type Err = InvalidNetworks;

    fn from_str(text: &str) -> Result<Self, InvalidNetworks> {
        text.split(',').map(|part| parse(part.trim())).collect::<Result<_, _>>().map(Self)
    }
}

/// Parses an address or a network. Rejects IPv4-mapped IPv6 addresses, which no client has: addresses are compared in their
/// canonical form. Rejects host bits: 10.8.0.5/8 would be all of 10.0.0.0/8, and may be meant as one address.
fn parse(text: &str) -> Result<IpNet, InvalidNetworks> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let is_allowed = |network: &IpNet| network.addr().to_canonical() == network.addr() && !is_too_large(network);
    let network = network.ok().filter(is_allowed).ok_or(InvalidNetworks::Syntax)?;
    if network.trunc() == network { Ok(network) } else { Err(InvalidNetworks::HostBits { network }) }
}

fn is_too_large(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => network.prefix_len() < MIN_PREFIX_IPV4,
        IpNet::V6(network) => network.prefix_len() < MIN_PREFIX_IPV6 && !UNIQUE_LOCAL.contains(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_compared_in_its_canonical_form() {
        let networks: Networks = "10.8.0.0/24, 2001:db8::/64,192.0.2.7".parse().expect("networks");
        let contains = |address: &str| networks.contain(address.parse().expect("an address"));

        assert!(["10.8.0.1", "::ffff:10.8.0.1", "2001:db8::9", "192.0.2.7"].into_iter().all(contains));
        assert!(!["10.8.1.1", "::ffff:10.8.1.1", "2001:db8:0:1::9", "192.0.2.8", "::1"].into_iter().any(contains));
    }

    #[test]
    fn empty_list_contains_nobody_and_cannot_be_written() {
        assert!(!Networks::default().contain(Ipv6Addr::LOCALHOST.into()));
        for text in ["", "none", ",", "10.8.0.0/24,"] {
            assert_eq!(text.parse::<Networks>(), Err(InvalidNetworks::Syntax), "{text:?}");
        }
    }
}
