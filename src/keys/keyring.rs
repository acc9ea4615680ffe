//! A complete set of keys.

use std::{collections::HashMap, fmt};

use pasetors::{
    keys::{AsymmetricPublicKey, AsymmetricSecretKey, SymmetricKey},
    paserk::{FormatAsPaserk as _, Id},
    version4::V4,
};
use zeroize::Zeroizing;

use super::{
    entry::{KeyEntry, KeyState},
    verifying_key::VerifyingKey,
};
use crate::model::KeyTag;

/// Length of the prefixes `k4.pid.` and `k4.lid.`, in bytes.
pub const ID_PREFIX_LENGTH: usize = 7;

pub type SymmetricBytes = Zeroizing<[u8; 32]>;

/// A complete set of keys: one active key for each purpose, and any number of next and retiring ones.
pub struct Keyring {
    pub(super) entries: Vec<KeyEntry>,
    pub(super) signing: SigningKey,
    pub(super) verifying: HashMap<String, VerifyingKey>,
    pub(super) refresh: KeyTag,
    pub(super) refresh_keys: HashMap<KeyTag, SymmetricBytes>,
    pub(super) limiter_keys: Vec<SymmetricBytes>,
}

/// The active key for access tokens.
pub struct SigningKey {
    /// The PASERK id, `k4.pid.…`.
    pub id: String,
    /// The secret key.
    pub secret: AsymmetricSecretKey<V4>,
    /// The footer of a PASETO that this key signs: `{"kid":"k4.pid.…"}`.
    pub footer: String,
}

/// The public part of a key that verifies access tokens.
pub struct PublishedKey<'keyring> {
    /// The PASERK id, `k4.pid.…`.
    pub id: &'keyring str,
    /// The state of the key.
    pub state: KeyState,
    /// The public key.
    pub public: &'keyring AsymmetricPublicKey<V4>,
}

impl Keyring {
    /// Returns the entries of the manifest, in the order of their creation.
    #[must_use]
    pub fn entries(&self) -> &[KeyEntry] {
        &self.entries
    }

    /// Returns the purpose, state and id of each key, none of which is secret.
    #[must_use]
    pub fn summary(&self) -> String {
        let key = |key: &KeyEntry| format!("{} {} {}", key.purpose, key.state, key.id);
        self.entries.iter().map(key).collect::<Vec<_>>().join(", ")
    }

    /// Returns the key that signs access tokens.
    #[must_use]
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// Returns the public key with this id, in any state.
    #[must_use]
    pub fn verifying(&self, id: &str) -> Option<&VerifyingKey> {
        self.verifying.get(id)
    }

    /// Returns every key that verifies access tokens, in the order of their creation.
    pub fn published(&self) -> impl Iterator<Item = PublishedKey<'_>> {
        self.entries.iter().filter_map(|entry| {
            let public = self.verifying(&entry.id)?.public();
            Some(PublishedKey { id: &entry.id, state: entry.state, public })
        })
    }

    /// Returns the tag of the active refresh-token key.
    #[must_use]
    pub fn refresh(&self) -> KeyTag {
        self.refresh
    }

    /// Returns the refresh-token key with this tag, in any state.
    #[must_use]
    pub fn refresh_key(&self, tag: KeyTag) -> Option<&[u8; 32]> {
        self.refresh_keys.get(&tag).map(|key| &**key)
    }

    /// Returns the limiter keys in any state, the active one first. New counters use the active key; older ones may use
    /// another.
    pub fn limiter_keys(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.limiter_keys.iter().map(|key| &**key)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keyring").field("entries", &self.entries).finish_non_exhaustive()
    }
}

pub fn public_id(key: &AsymmetricPublicKey<V4>) -> String {
    paserk_text(&Id::from(key))
}

pub fn symmetric_id(key: &SymmetricKey<V4>) -> String {
    paserk_text(&Id::from(key))
}

fn paserk_text(id: &Id) -> String {
    let mut text = String::new();
    id.fmt(&mut text).unwrap_or_else(|_| unreachable!("writing to a String never fails"));
    text
}

#[cfg(test)]
impl Keyring {
    /// Returns a keyring with one key, which has this id.
    pub(crate) fn single(id: &str, secret: AsymmetricSecretKey<V4>) -> Self {
        let public = AsymmetricPublicKey::try_from(&secret).expect("a key pair");
        let public = VerifyingKey::new(public).expect("a point of large order");
        let time = time::OffsetDateTime::UNIX_EPOCH;
        let entry = KeyEntry {
            id: id.to_owned(),
            purpose: super::entry::Purpose::Access,
            state: KeyState::Active,
            since: time,
            created: time,
            file: "access.paserk".to_owned(),
        };
        Self {
            entries: vec![entry],
            signing: SigningKey { id: id.to_owned(), secret, footer: format!(r#"{{"kid":"{id}"}}"#) },
            verifying: HashMap::from([(id.to_owned(), public)]),
            refresh: KeyTag([0; 4]),
            refresh_keys: HashMap::new(),
            limiter_keys: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{
        super::{
            entry::Purpose,
            manifest::list,
            testing::{bytes, generated, rewrite},
        },
        *,
    };

    /// `PASERK/k4.pid.json` of <https://github.com/paseto-standard/test-vectors> at ec2298cf7f47.
    #[test]
    fn ids_match_the_published_vectors() {
        for (key, id) in [
            (
                "0000000000000000000000000000000000000000000000000000000000000000",
                "k4.pid.S_XQmeEwHbbvRmiyfXfHYpLGjXGzjTRSDoT1YtTakWFE",
            ),
            (
                "707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f",
                "k4.pid.9ShR3xc8-qVJ_di0tc9nx0IDIqbatdeM2mqLFBJsKRHs",
            ),
            (
                "707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e90",
                "k4.pid.-nyvbaTz8U6TQz7OZWW-iB3va31iAxIpUgzUcVQVmW9A",
            ),
        ] {
            let key = AsymmetricPublicKey::from(&bytes(key)).expect("32 bytes");
            assert_eq!(public_id(&key), id);
        }
    }

    #[test]
    fn every_access_token_key_is_published_with_its_state() {
        let directory = generated();
        let (second, third) = (generated(), generated());
        rewrite(directory.path(), |keys| {
            for (other, state) in [(&second, KeyState::Next), (&third, KeyState::Retiring)] {
                let mut entry = list(other.path()).expect("a manifest").remove(0);
                entry.state = state;
                fs::copy(other.path().join(&entry.file), directory.path().join(&entry.file)).expect("a copy");
                keys.push(entry);
            }
        });

        let keyring = Keyring::load(directory.path()).expect("keys");

        let published: Vec<_> = keyring.published().map(|key| (key.id.to_owned(), key.state)).collect();
        let entries = list(directory.path()).expect("a manifest");
        let access = entries.into_iter().filter(|entry| entry.purpose == Purpose::Access);
        assert_eq!(published, access.map(|entry| (entry.id, entry.state)).collect::<Vec<_>>());
        assert_eq!(published.len(), 3);
    }
}
