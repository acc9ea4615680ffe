//! The keys: a directory of PASERK files, and `keyring.json` that says what each is for.
//!
//! Each key has a file of its own that holds its PASERK text and nothing else: `k4.secret…` signs access tokens,
//! `k4.local…` authenticates what only we verify. The manifest gives each its purpose and state, so that one rename
//! switches from one set of keys to the next, and a reader meets either the old set or the new one.
//!
//! A key is *next* until everybody knows it, then *active*, and then *retiring* until everything that it has signed has
//! expired: `life.rs` has the steps, `times.rs` how long each takes, `change.rs` the order in which files are written.
//! [`Keyring`] is one set of keys, read as a whole; [`Keys`] is the set that is in use now.

mod change;
mod error;
mod life;
mod live;
mod load;
mod manifest;
mod times;

use std::{collections::HashMap, fmt};

use pasetors::{
    keys::{AsymmetricPublicKey, AsymmetricSecretKey, SymmetricKey},
    paserk::{FormatAsPaserk as _, Id},
    version4::V4,
};
use zeroize::Zeroizing;

pub use self::{
    error::KeyringError,
    life::{Step, activate, generate, publish, replace, retire, rotate},
    live::Keys,
    manifest::{KeyEntry, KeyState, MANIFEST, Purpose, WhichKey, list},
    times::KeyTimes,
};
use crate::accounts::KeyTag;

/// The length of `k4.pid.` and of `k4.lid.`.
const ID_PREFIX_LENGTH: usize = 7;

type SymmetricBytes = Zeroizing<[u8; 32]>;

/// The keys in use, read as a whole.
pub struct Keyring {
    entries: Vec<KeyEntry>,
    signing: SigningKey,
    verifying: HashMap<String, AsymmetricPublicKey<V4>>,
    refresh: KeyTag,
    refreshing: HashMap<KeyTag, SymmetricBytes>,
    limiting: Vec<SymmetricBytes>,
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
    pub fn refreshing(&self, tag: KeyTag) -> Option<&[u8; 32]> {
        self.refreshing.get(&tag).map(|key| &**key)
    }

    /// The keys that emails are counted under, whatever their state: the first is the active one, for new counts; those
    /// of before may be under another.
    pub fn limiting(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.limiting.iter().map(|key| &**key)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keyring").field("entries", &self.entries).finish_non_exhaustive()
    }
}

fn public_id(key: &AsymmetricPublicKey<V4>) -> String {
    paserk_text(&Id::from(key))
}

fn symmetric_id(key: &SymmetricKey<V4>) -> String {
    paserk_text(&Id::from(key))
}

fn paserk_text(id: &Id) -> String {
    let mut text = String::new();
    id.fmt(&mut text).unwrap_or_else(|_| unreachable!("a String takes whatever is written"));
    text
}

/// What the tests of this module share.
#[cfg(test)]
mod testing {
    use std::path::Path;

    use time::OffsetDateTime;

    use super::{manifest::Manifest, *};

    /// A directory with an active key for each purpose, made in 1970.
    pub fn generated() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        generate(directory.path(), OffsetDateTime::UNIX_EPOCH).expect("keys can be made");
        directory
    }

    /// Edits the manifest, as a person might.
    pub fn rewrite(directory: &Path, change: impl Fn(&mut Vec<KeyEntry>)) {
        let mut keys = list(directory).expect("a manifest");
        change(&mut keys);
        Manifest::write(directory, &keys).expect("it can be written");
    }

    /// Purpose and state of each key.
    pub fn states(directory: &Path) -> Vec<(Purpose, KeyState)> {
        list(directory).expect("a manifest").iter().map(|key| (key.purpose, key.state)).collect()
    }
}

#[cfg(test)]
impl Keyring {
    /// A keyring of one key, which signs and verifies under any name.
    pub(super) fn single(id: &str, secret: AsymmetricSecretKey<V4>) -> Self {
        let public = AsymmetricPublicKey::try_from(&secret).expect("a key of two halves");
        let time = time::OffsetDateTime::UNIX_EPOCH;
        let entry = KeyEntry {
            id: id.to_owned(),
            purpose: Purpose::Access,
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
            refreshing: HashMap::new(),
            limiting: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{
        testing::{generated, rewrite},
        *,
    };
    use crate::tokens::testing::bytes;

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
