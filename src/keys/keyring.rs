//! A set of keys, read as a whole.

use std::{collections::HashMap, fmt};

use pasetors::{
    keys::{AsymmetricPublicKey, AsymmetricSecretKey, SymmetricKey},
    paserk::{FormatAsPaserk as _, Id},
    version4::V4,
};
use zeroize::Zeroizing;

use super::entry::{KeyEntry, KeyState};
use crate::model::KeyTag;

/// The length of `k4.pid.` and of `k4.lid.`.
pub const ID_PREFIX_LENGTH: usize = 7;

pub type SymmetricBytes = Zeroizing<[u8; 32]>;

/// The keys in use, read as a whole.
pub struct Keyring {
    pub(super) entries: Vec<KeyEntry>,
    pub(super) signing: SigningKey,
    pub(super) verifying: HashMap<String, AsymmetricPublicKey<V4>>,
    pub(super) refresh: KeyTag,
    pub(super) refresh_keys: HashMap<KeyTag, SymmetricBytes>,
    pub(super) limiter_keys: Vec<SymmetricBytes>,
}

/// The key that signs access tokens, and the footer that names it.
pub struct SigningKey {
    /// Its PASERK id, `k4.pid.…`.
    pub id: String,
    /// Signs.
    pub secret: AsymmetricSecretKey<V4>,
    /// `{"kid":"k4.pid.…"}`.
    pub footer: String,
}

/// A key that verifies access tokens, as anybody may know it.
pub struct PublishedKey<'keyring> {
    /// Its PASERK id, `k4.pid.…`.
    pub id: &'keyring str,
    /// Where it stands in its life.
    pub state: KeyState,
    /// Verifies.
    pub public: &'keyring AsymmetricPublicKey<V4>,
}

impl Keyring {
    /// What the manifest says of the keys.
    #[must_use]
    pub fn entries(&self) -> &[KeyEntry] {
        &self.entries
    }

    /// Purpose, state and id of each key, which are no secrets.
    #[must_use]
    pub fn summary(&self) -> String {
        let key = |key: &KeyEntry| format!("{} {} {}", key.purpose, key.state, key.id);
        self.entries.iter().map(key).collect::<Vec<_>>().join(", ")
    }

    /// The key that signs access tokens.
    #[must_use]
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The public key with this id, whatever its state.
    #[must_use]
    pub fn verifying(&self, id: &str) -> Option<&AsymmetricPublicKey<V4>> {
        self.verifying.get(id)
    }

    /// Every key that verifies access tokens, in the order in which they were made.
    pub fn published(&self) -> impl Iterator<Item = PublishedKey<'_>> {
        self.entries.iter().filter_map(|entry| {
            let public = self.verifying(&entry.id)?;
            Some(PublishedKey { id: &entry.id, state: entry.state, public })
        })
    }

    /// The tag of the key that authenticates new refresh tokens.
    #[must_use]
    pub fn refresh(&self) -> KeyTag {
        self.refresh
    }

    /// The refresh-token key with this tag, whatever its state.
    #[must_use]
    pub fn refresh_key(&self, tag: KeyTag) -> Option<&[u8; 32]> {
        self.refresh_keys.get(&tag).map(|key| &**key)
    }

    /// The keys that emails are counted under, whatever their state: the first is the active one, for new counts; those
    /// of before may be under another.
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
    id.fmt(&mut text).unwrap_or_else(|_| unreachable!("a String takes whatever is written"));
    text
}

#[cfg(test)]
impl Keyring {
    /// A keyring of one key, which signs and verifies under any name.
    pub(crate) fn single(id: &str, secret: AsymmetricSecretKey<V4>) -> Self {
        let public = AsymmetricPublicKey::try_from(&secret).expect("a key of two halves");
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
    fn ids_are_those_of_the_published_vectors() {
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
    fn every_key_for_access_tokens_is_published_with_its_state() {
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
