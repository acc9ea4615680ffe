//! Keyed digests of emails and addresses, which name buckets and devices.

use std::{net::IpAddr, sync::Arc};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::limits::{ACCOUNT, ACCOUNT_IP, ACCOUNT_SESSION, AddressLimits, EXPORTS};
use crate::{
    keys::{Keyring, LiveKeyring},
    model::{ClientNetwork, Email, PrefixLength, SessionId, UserId},
    store::{Bucket, BucketKey, Device, Limit},
};

/// Derives each [`BucketKey`] with the limiter keys.
pub struct BucketKeys {
    keyring: Arc<LiveKeyring>,
    /// A random key of this process, for a keyring without a limiter key.
    fallback: [u8; 32],
}

impl BucketKeys {
    /// Uses the limiter keys of `keyring`.
    pub fn new(keyring: Arc<LiveKeyring>) -> Self {
        let mut fallback = [0; 32];
        getrandom::fill(&mut fallback)
            .unwrap_or_else(|error| panic!("the operating system has no random bytes: {error}"));
        Self { keyring, fallback }
    }

    /// Returns the key of an account. The email need not have one.
    pub fn account(&self, email: &Email) -> BucketKey {
        self.derive(ACCOUNT.name, &[email.as_str().as_bytes()])
    }

    /// Returns the key of an account and an address together.
    pub fn account_ip(&self, email: &Email, address: IpAddr) -> BucketKey {
        self.derive(ACCOUNT_IP.name, &[email.as_str().as_bytes(), &network(address, ADDRESS)])
    }

    /// Returns the key of an account and one of its sessions together.
    pub fn account_session(&self, user: UserId, session: SessionId) -> BucketKey {
        self.derive(ACCOUNT_SESSION.name, &[user.0.as_bytes(), session.0.as_bytes()])
    }

    /// Returns the key of the exports of a user.
    pub fn exports(&self, user: UserId) -> BucketKey {
        self.derive(EXPORTS.name, &[user.0.as_bytes()])
    }

    /// Returns the buckets of an address: the one of its narrowest network, and those of wider ones.
    pub fn address(&self, limits: &'static AddressLimits, address: IpAddr) -> (Bucket, Vec<Bucket>) {
        let bucket = |limit: &'static Limit, prefix| Bucket {
            key: self.derive(limit.name, &[&network(address, prefix)]),
            limit,
        };
        let wider = match address.to_canonical() {
            IpAddr::V4(_) => Vec::new(),
            IpAddr::V6(_) => limits.wide.iter().zip(SITES).map(|(limit, prefix)| bucket(limit, prefix)).collect(),
        };
        (bucket(&limits.narrow, ADDRESS), wider)
    }

    /// Returns the names of a device: an account and the network of an address. The keys of the first are derived with the
    /// active limiter key, those of the others with previous ones, so that a rotation forgets no device.
    pub fn device(&self, email: &Email, address: IpAddr) -> Vec<Device> {
        let keyring = self.keyring.current();
        let devices: Vec<_> = keyring.limiter_keys().map(|key| device(key, email, address)).collect();
        if devices.is_empty() { vec![device(&self.fallback, email, address)] } else { devices }
    }

    fn derive(&self, purpose: &str, parts: &[&[u8]]) -> BucketKey {
        let keyring = self.keyring.current();
        derive(active_key(&keyring).unwrap_or(&self.fallback), purpose, parts)
    }
}

fn active_key(keyring: &Keyring) -> Option<&[u8; 32]> {
    keyring.limiter_keys().next()
}

fn device(key: &[u8; 32], email: &Email, address: IpAddr) -> Device {
    let email = email.as_str().as_bytes();
    Device {
        account: derive(key, "devices", &[email]),
        key: derive(key, "device", &[email, &network(address, DEVICE)]),
    }
}

fn derive(key: &[u8; 32], purpose: &str, parts: &[&[u8]]) -> BucketKey {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    for part in [&[purpose.as_bytes()], parts].concat() {
        // The length before each part: two different lists of parts are never the same input.
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part);
    }
    let digest: [u8; 32] = mac.finalize().into_bytes().into();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    BucketKey(key)
}

/// The network that counts as one address: the smallest that an IPv6 site gets (RFC 6177) is a /64.
const ADDRESS: PrefixLength = PrefixLength { ipv4: 32, ipv6: 64 };

/// The networks of larger sites, which only IPv6 has.
const SITES: [PrefixLength; 2] = [PrefixLength { ipv6: 56, ..ADDRESS }, PrefixLength { ipv6: 48, ..ADDRESS }];

/// The network that counts as one device.
const DEVICE: PrefixLength = PrefixLength { ipv4: 24, ipv6: 64 };

/// Returns the octets of the network of an address. Changed octets would rename every counter and device.
fn network(address: IpAddr, prefix: PrefixLength) -> Vec<u8> {
    match ClientNetwork::of(address, prefix).first_address() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().into_iter().take(usize::from(prefix.ipv6) / 8).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network_of(address: &str, prefix: PrefixLength) -> Vec<u8> {
        network(address.parse().expect("an address"), prefix)
    }

    #[test]
    fn ipv6_addresses_of_one_prefix_are_one_network() {
        for (prefix, same, other) in [
            (ADDRESS, "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"),
            (SITES[0], "2001:db8:1:ff::9", "2001:db8:1:100::1"),
            (SITES[1], "2001:db8:1:ffff::9", "2001:db8:2::1"),
        ] {
            assert_eq!(network_of("2001:db8:1:2::1", prefix), network_of(same, prefix));
            assert_ne!(network_of("2001:db8:1:2::1", prefix), network_of(other, prefix));
        }
    }

    #[test]
    fn ipv4_addresses_differ_and_devices_share_a_24_prefix() {
        assert_ne!(network_of("192.0.2.1", ADDRESS), network_of("192.0.2.2", ADDRESS));
        assert_eq!(network_of("192.0.2.1", DEVICE), network_of("192.0.2.200", DEVICE));
        assert_ne!(network_of("192.0.2.1", DEVICE), network_of("192.0.3.1", DEVICE));
    }

    #[test]
    fn ipv4_mapped_address_equals_its_ipv4_address() {
        assert_eq!(network_of("::ffff:192.0.2.1", ADDRESS), network_of("192.0.2.1", ADDRESS));
    }

    #[test]
    fn keys_depend_on_each_part_the_purpose_and_the_secret() {
        let secret = [7; 32];

        assert_ne!(derive(&secret, "pair", &[b"ab", b"c"]), derive(&secret, "pair", &[b"a", b"bc"]));
        assert_ne!(derive(&secret, "account", &[b"a"]), derive(&secret, "device", &[b"a"]));
        assert_ne!(derive(&secret, "account", &[b"a"]), derive(&[8; 32], "account", &[b"a"]));
    }
}
