//! What buckets and devices are named by: keyed digests of emails and addresses.

use std::{net::IpAddr, sync::Arc};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{
    keys::{Keyring, LiveKeyring},
    model::Email,
    store::BucketKey,
};

/// Makes tags under the limiter keys.
pub struct BucketKeys {
    keys: Arc<LiveKeyring>,
    /// Where there is no limiter key: good for this process alone.
    own: [u8; 32],
}

impl BucketKeys {
    /// Tags under the limiter keys of the keyring.
    pub fn new(keys: Arc<LiveKeyring>) -> Self {
        let mut own = [0; 32];
        getrandom::fill(&mut own).unwrap_or_else(|error| panic!("the operating system has no random bytes: {error}"));
        Self { keys, own }
    }

    /// The account of an email, whether there is one or not.
    pub fn account(&self, email: &Email) -> BucketKey {
        self.active("account", &[email.as_str().as_bytes()])
    }

    /// An account, from an address.
    pub fn account_ip(&self, email: &Email, address: IpAddr) -> BucketKey {
        self.active("pair", &[email.as_str().as_bytes(), &network(address, 32)])
    }

    /// An address, for one purpose.
    pub fn address(&self, purpose: &str, address: IpAddr) -> BucketKey {
        self.active(purpose, &[&network(address, 32)])
    }

    /// The device that an account is used from: the network that its address is in. The first tag is under the active key,
    /// the others are under those of before.
    pub fn device(&self, email: &Email, address: IpAddr) -> Vec<BucketKey> {
        let keyring = self.keys.current();
        let tag = |key: &[u8; 32]| tag(key, "device", &[email.as_str().as_bytes(), &network(address, 24)]);
        let tags: Vec<_> = keyring.limiter_keys().map(tag).collect();
        if tags.is_empty() { vec![tag(&self.own)] } else { tags }
    }

    fn active(&self, purpose: &str, parts: &[&[u8]]) -> BucketKey {
        let keyring = self.keys.current();
        tag(active_key(&keyring).unwrap_or(&self.own), purpose, parts)
    }
}

fn active_key(keyring: &Keyring) -> Option<&[u8; 32]> {
    keyring.limiter_keys().next()
}

fn tag(key: &[u8; 32], purpose: &str, parts: &[&[u8]]) -> BucketKey {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    for part in [&[purpose.as_bytes()], parts].concat() {
        // The length before each: no two lists of parts are one text.
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part);
    }
    let digest: [u8; 32] = mac.finalize().into_bytes().into();
    let mut tag = [0; 16];
    tag.copy_from_slice(&digest[..16]);
    BucketKey(tag)
}

/// The network of an address: the first `bits_of_v4` bits of IPv4; of IPv6 the first 64, which is what a site has (RFC 6177).
fn network(address: IpAddr, bits_of_v4: u32) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - bits_of_v4).unwrap_or_default();
            (address.to_bits() & mask).to_be_bytes().to_vec()
        }
        IpAddr::V6(address) => address.octets()[..8].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str, bits_of_v4: u32) -> Vec<u8> {
        network(address.parse().expect("an address"), bits_of_v4)
    }

    #[test]
    fn of_ipv6_a_site_counts_as_one_address() {
        assert_eq!(of("2001:db8:1:2::1", 32), of("2001:db8:1:2:ffff::9", 24));
        assert_ne!(of("2001:db8:1:2::1", 32), of("2001:db8:1:3::1", 32));
    }

    #[test]
    fn of_ipv4_each_address_counts_and_a_device_is_its_network() {
        assert_ne!(of("192.0.2.1", 32), of("192.0.2.2", 32));
        assert_eq!(of("192.0.2.1", 24), of("192.0.2.200", 24));
        assert_ne!(of("192.0.2.1", 24), of("192.0.3.1", 24));
    }

    #[test]
    fn an_ipv4_address_within_ipv6_is_that_address() {
        assert_eq!(of("::ffff:192.0.2.1", 32), of("192.0.2.1", 32));
    }

    #[test]
    fn parts_are_not_run_together() {
        let key = [7; 32];

        assert_ne!(tag(&key, "pair", &[b"ab", b"c"]), tag(&key, "pair", &[b"a", b"bc"]));
        assert_ne!(tag(&key, "account", &[b"a"]), tag(&key, "device", &[b"a"]));
        assert_ne!(tag(&key, "account", &[b"a"]), tag(&[8; 32], "account", &[b"a"]));
    }
}
