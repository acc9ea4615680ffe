//! The keys: a directory of PASERK files, and `keyring.json` that says what each is for.
//!
//! Each key has a file of its own that holds its PASERK text and nothing else: `k4.secret…` signs access tokens,
//! `k4.local…` authenticates refresh tokens. The manifest gives each its purpose and state, so that one rename switches
//! from one set of keys to the next, and a reader meets either the old set or the new one.

mod generate;
mod manifest;

use std::{collections::HashMap, fmt, path::Path};

use pasetors::{
    keys::{AsymmetricKeyPair, AsymmetricPublicKey, AsymmetricSecretKey, SymmetricKey},
    paserk::{FormatAsPaserk as _, Id},
    version4::V4,
};
use zeroize::Zeroizing;

use self::manifest::{invalid, read_private};
pub use self::{
    generate::generate,
    manifest::{KeyEntry, KeyState, KeyringError, MANIFEST, Purpose, list},
};
use crate::accounts::KeyTag;

/// The length of `k4.pid.` and of `k4.lid.`.
const ID_PREFIX_LENGTH: usize = 7;

/// The keys in use, read as a whole.
pub struct Keyring {
    signing: SigningKey,
    verifying: HashMap<String, AsymmetricPublicKey<V4>>,
    /// The ids of `verifying`, in the manifest's order.
    published: Vec<(String, KeyState)>,
    refresh: KeyTag,
    refreshing: HashMap<KeyTag, Zeroizing<[u8; 32]>>,
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
    /// Reads a directory that [`generate()`] filled.
    ///
    /// # Errors
    /// Where a file is missing, exposed or not what the manifest says, or a purpose has not exactly one active key.
    pub fn load(directory: &Path) -> Result<Self, KeyringError> {
        let entries = list(directory)?;
        let active_access = active(directory, &entries, Purpose::Access)?;
        let active_refresh = active(directory, &entries, Purpose::Refresh)?;
        let (mut signing, mut refresh) = (None, None);
        let (mut verifying, mut published, mut refreshing) = (HashMap::new(), Vec::new(), HashMap::new());
        for entry in &entries {
            let path = directory.join(&entry.file);
            match read_key(&path, entry.purpose)? {
                Key::Access(pair) if public_id(&pair.public) == entry.id => {
                    if entry.id == active_access.id {
                        let footer = format!(r#"{{"kid":"{}"}}"#, entry.id);
                        signing = Some(SigningKey { id: entry.id.clone(), secret: pair.secret, footer });
                    }
                    published.push((entry.id.clone(), entry.state));
                    verifying.insert(entry.id.clone(), pair.public);
                }
                Key::Refresh(key) if symmetric_id(&key) == entry.id => {
                    let tag = key_tag(&entry.id, &path)?;
                    if entry.id == active_refresh.id {
                        refresh = Some(tag);
                    }
                    refreshing.insert(tag, bytes_of(&key));
                }
                Key::Access(_) | Key::Refresh(_) => {
                    return Err(invalid(&path, "it holds another key than the manifest says"));
                }
            }
        }
        let read = signing.zip(refresh);
        let (signing, refresh) = read.unwrap_or_else(|| unreachable!("the active keys are among the entries"));
        Ok(Self { signing, verifying, published, refresh, refreshing })
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
        self.published.iter().filter_map(|(id, state)| {
            let public = self.verifying(id)?;
            Some(PublishedKey { id, state: *state, public })
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
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keyring").field("verifying", &self.verifying.keys()).finish_non_exhaustive()
    }
}

enum Key {
    Access(AsymmetricKeyPair<V4>),
    Refresh(SymmetricKey<V4>),
}

fn active<'entries>(
    directory: &Path,
    entries: &'entries [KeyEntry],
    purpose: Purpose,
) -> Result<&'entries KeyEntry, KeyringError> {
    let is_active = |entry: &&KeyEntry| entry.purpose == purpose && entry.state == KeyState::Active;
    let mut active = entries.iter().filter(is_active);
    match (active.next(), active.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => Err(invalid(&directory.join(MANIFEST), &format!("no active key for {purpose} tokens"))),
        (Some(_), Some(_)) => {
            Err(invalid(&directory.join(MANIFEST), &format!("more than one active key for {purpose} tokens")))
        }
    }
}

fn read_key(path: &Path, purpose: Purpose) -> Result<Key, KeyringError> {
    let text = read_private(path)?;
    let paserk = text.trim();
    match purpose {
        Purpose::Access => {
            let secret = AsymmetricSecretKey::<V4>::try_from(paserk)
                .map_err(|_| invalid(path, "not a PASERK of the form k4.secret.…"))?;
            let public = AsymmetricPublicKey::<V4>::try_from(&secret)
                .map_err(|_| invalid(path, "the two halves of the key do not belong together"))?;
            Ok(Key::Access(AsymmetricKeyPair { public, secret }))
        }
        Purpose::Refresh => SymmetricKey::<V4>::try_from(paserk)
            .map(Key::Refresh)
            .map_err(|_| invalid(path, "not a PASERK of the form k4.local.…")),
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

/// The first four bytes of the id's digest.
fn key_tag(id: &str, path: &Path) -> Result<KeyTag, KeyringError> {
    use base64::Engine as _;
    let digest = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&id[ID_PREFIX_LENGTH..]).ok();
    let tag = digest.as_deref().and_then(<[u8]>::first_chunk).copied();
    tag.map(KeyTag).ok_or_else(|| invalid(path, "its id is not a PASERK id"))
}

fn bytes_of(key: &SymmetricKey<V4>) -> Zeroizing<[u8; 32]> {
    let bytes = key.as_bytes().try_into();
    Zeroizing::new(bytes.unwrap_or_else(|_| unreachable!("a symmetric key of version 4 has 32 bytes")))
}

#[cfg(test)]
impl Keyring {
    /// A keyring of one key, which signs and verifies under any name.
    pub(super) fn of(id: &str, secret: AsymmetricSecretKey<V4>) -> Self {
        let public = AsymmetricPublicKey::try_from(&secret).expect("a key of two halves");
        Self {
            signing: SigningKey { id: id.to_owned(), secret, footer: format!(r#"{{"kid":"{id}"}}"#) },
            verifying: HashMap::from([(id.to_owned(), public)]),
            published: vec![(id.to_owned(), KeyState::Active)],
            refresh: KeyTag([0; 4]),
            refreshing: HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use time::OffsetDateTime;

    use super::{
        manifest::{Manifest, write_private},
        *,
    };
    use crate::tokens::testing::bytes;

    fn generated() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        generate(directory.path(), OffsetDateTime::UNIX_EPOCH).expect("keys can be made");
        directory
    }

    fn rewrite(directory: &Path, change: impl Fn(&mut Vec<KeyEntry>)) {
        let mut keys = list(directory).expect("a manifest");
        change(&mut keys);
        let text = serde_json::to_string(&Manifest { keys }).expect("JSON");
        write_private(&directory.join(MANIFEST), &text).expect("it can be written");
    }

    #[test]
    fn each_purpose_gets_one_active_key_and_only_once() {
        let directory = generated();

        let again = generate(directory.path(), OffsetDateTime::UNIX_EPOCH).expect("keys are there");

        assert!(again.is_empty());
        let keys = list(directory.path()).expect("a manifest");
        let told: Vec<_> = keys.iter().map(|key| (key.purpose, key.state)).collect();
        assert_eq!(told, [(Purpose::Access, KeyState::Active), (Purpose::Refresh, KeyState::Active)]);
    }

    #[test]
    fn of_those_who_generate_at_once_one_makes_the_keys() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let made: Vec<_> = std::thread::scope(|scope| {
            let generate = || generate(directory.path(), OffsetDateTime::UNIX_EPOCH).expect("keys").len();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(generate)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });

        assert_eq!(made.iter().filter(|made| **made > 0).count(), 1, "{made:?}");
        let files: BTreeSet<_> = fs::read_dir(directory.path())
            .expect("a directory")
            .map(|file| file.expect("a file").file_name())
            .collect();
        assert_eq!(files.len(), 3, "{files:?}");
    }

    #[test]
    fn a_directory_without_keys_says_how_to_make_them() {
        let directory = tempfile::tempdir().expect("a temporary directory");

        let error = Keyring::load(directory.path()).expect_err("nothing is there");

        assert!(error.to_string().contains("run `postern keys generate`"), "{error}");
    }

    #[test]
    fn exactly_one_key_of_each_purpose_is_active() {
        for state in [KeyState::Next, KeyState::Retiring] {
            let directory = generated();
            rewrite(directory.path(), |keys| keys[0].state = state);
            assert!(matches!(Keyring::load(directory.path()), Err(KeyringError::Invalid { .. })));
        }

        let directory = generated();
        rewrite(directory.path(), |keys| keys.push(keys[1].clone()));
        assert!(matches!(Keyring::load(directory.path()), Err(KeyringError::Invalid { .. })));
    }

    #[test]
    fn a_file_that_does_not_hold_its_key_is_refused_and_not_repeated() {
        let directory = generated();
        let keys = list(directory.path()).expect("a manifest");
        let file = directory.path().join(&keys[0].file);
        for content in ["", "k4.secret.hunter2", "hunter2"] {
            write_private(&file, content).expect("it can be written");
            let error = Keyring::load(directory.path()).expect_err("not the key").to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }

        let other = generated();
        let others = list(other.path()).expect("a manifest");
        fs::copy(other.path().join(&others[0].file), &file).expect("a copy");
        let error = Keyring::load(directory.path()).expect_err("not the key");
        assert!(error.to_string().contains("another key than the manifest says"), "{error}");
    }

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

    #[test]
    fn a_keyring_cannot_be_printed() {
        let directory = generated();
        let keyring = Keyring::load(directory.path()).expect("keys");

        let printed = format!("{keyring:?}");

        for key in list(directory.path()).expect("a manifest") {
            let secret = fs::read_to_string(directory.path().join(key.file)).expect("a text");
            assert!(!printed.contains(secret.trim_start_matches("k4.secret.").trim_start_matches("k4.local.")));
        }
    }
}
