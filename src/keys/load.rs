//! Reads a set of keys as a whole.

use std::{collections::HashMap, path::Path};

use pasetors::{
    keys::{AsymmetricKeyPair, AsymmetricPublicKey, AsymmetricSecretKey, SymmetricKey},
    version4::V4,
};
use zeroize::Zeroizing;

use super::{
    entry::{KeyEntry, KeyState, Purpose},
    error::{KeyringError, invalid},
    keyring::{ID_PREFIX_LENGTH, Keyring, SigningKey, SymmetricBytes, public_id, symmetric_id},
    manifest::{MANIFEST, Manifest, read_private},
};
use crate::model::KeyTag;

/// How often a directory is read that changes under the reader's hands.
const MAX_READINGS: usize = 5;

impl Keyring {
    /// Reads a directory that [`super::generate()`] filled.
    ///
    /// What is read belongs together: every file holds the key that one manifest gives its id. Where one does not, the
    /// manifest may have been replaced since, and a file that it named have gone; then the reading starts over.
    ///
    /// # Errors
    /// Where a file is missing, exposed or not what the manifest says, or a purpose has not exactly one active key.
    pub fn load(directory: &Path) -> Result<Self, KeyringError> {
        let (mut manifest, mut loaded) = Self::read(directory);
        for _ in 1..MAX_READINGS {
            if loaded.is_ok() {
                break;
            }
            let (manifest_now, loaded_now) = Self::read(directory);
            let is_unchanged = manifest_now == manifest;
            (manifest, loaded) = (manifest_now, loaded_now);
            if is_unchanged {
                break;
            }
        }
        loaded
    }

    fn read(directory: &Path) -> (Option<Manifest>, Result<Self, KeyringError>) {
        match Manifest::read(directory) {
            Ok(manifest) => {
                let loaded = Self::of(&manifest);
                (Some(manifest), loaded)
            }
            Err(error) => (None, Err(error)),
        }
    }

    fn of(manifest: &Manifest) -> Result<Self, KeyringError> {
        let [access, refresh, limiter] = Purpose::ALL.map(|purpose| active(manifest, purpose));
        let (access, refresh) = (access?, refresh?);
        let limiter = match limiter {
            // What the version before has made has none, and nothing counts by it yet.
            Err(KeyringError::MissingPurpose { .. }) => None,
            limiter => Some(limiter?),
        };
        let (mut signing, mut refresh_tag) = (None, None);
        let (mut verifying, mut refresh_keys, mut limiter_keys) = (HashMap::new(), HashMap::new(), Vec::new());
        for entry in &manifest.keys {
            let path = manifest.directory.join(&entry.file);
            let is_first = match read_key(&path, entry)? {
                Key::Signing(AsymmetricKeyPair { public, secret }) => {
                    if entry.id == access.id {
                        let footer = format!(r#"{{"kid":"{}"}}"#, entry.id);
                        signing = Some(SigningKey { id: entry.id.clone(), secret, footer });
                    }
                    verifying.insert(entry.id.clone(), public).is_none()
                }
                Key::Symmetric(key) if entry.purpose == Purpose::Refresh => {
                    let tag = key_tag(&entry.id, &path)?;
                    if entry.id == refresh.id {
                        refresh_tag = Some(tag);
                    }
                    refresh_keys.insert(tag, key).is_none()
                }
                Key::Symmetric(key) => {
                    let is_active = limiter.is_some_and(|limiter| limiter.id == entry.id);
                    let place = if is_active { 0 } else { limiter_keys.len() };
                    limiter_keys.insert(place, key);
                    true
                }
            };
            if !is_first {
                return Err(invalid(&manifest.directory.join(MANIFEST), &format!("{} is there twice", entry.id)));
            }
        }
        let read = signing.zip(refresh_tag);
        let (signing, refresh) = read.unwrap_or_else(|| unreachable!("the active keys are among the entries"));
        Ok(Self { entries: manifest.keys.clone(), signing, verifying, refresh, refresh_keys, limiter_keys })
    }
}

enum Key {
    Signing(AsymmetricKeyPair<V4>),
    Symmetric(SymmetricBytes),
}

fn active(manifest: &Manifest, purpose: Purpose) -> Result<&KeyEntry, KeyringError> {
    let mut keys = manifest.keys.iter().filter(|key| key.purpose == purpose).peekable();
    if keys.peek().is_none() {
        return Err(KeyringError::MissingPurpose { directory: manifest.directory.clone(), purpose });
    }
    let mut active = keys.filter(|key| key.state == KeyState::Active);
    match (active.next(), active.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => Err(invalid(&manifest.directory.join(MANIFEST), &format!("no {purpose} key is active"))),
        (Some(_), Some(_)) => {
            Err(invalid(&manifest.directory.join(MANIFEST), &format!("more than one {purpose} key is active")))
        }
    }
}

/// The key of an entry: the file holds what has the entry's id.
fn read_key(path: &Path, entry: &KeyEntry) -> Result<Key, KeyringError> {
    let text = read_private(path)?;
    let paserk = text.trim();
    let (id, key) = match entry.purpose {
        Purpose::Access => {
            let secret = AsymmetricSecretKey::<V4>::try_from(paserk)
                .map_err(|_| invalid(path, "not a PASERK of the form k4.secret.…"))?;
            let public = AsymmetricPublicKey::<V4>::try_from(&secret)
                .map_err(|_| invalid(path, "the two halves of the key do not belong together"))?;
            (public_id(&public), Key::Signing(AsymmetricKeyPair { public, secret }))
        }
        Purpose::Refresh | Purpose::Limiter => {
            let key = SymmetricKey::<V4>::try_from(paserk)
                .map_err(|_| invalid(path, "not a PASERK of the form k4.local.…"))?;
            (symmetric_id(&key), Key::Symmetric(bytes_of(&key)))
        }
    };
    if id != entry.id {
        return Err(invalid(path, "it holds another key than the manifest says"));
    }
    Ok(key)
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
mod tests {
    use std::{fs, os::unix::fs::symlink, process::Command};

    use time::OffsetDateTime;

    use super::{
        super::{
            lifecycle::{add_next, generate},
            manifest::{list, write_private},
            testing::{generated, rewrite},
        },
        *,
    };

    #[test]
    fn a_directory_without_keys_says_how_to_make_them() {
        let directory = tempfile::tempdir().expect("a temporary directory");

        let error = Keyring::load(directory.path()).expect_err("nothing is there");

        assert!(error.to_string().contains("run `postern keys generate`"), "{error}");
    }

    #[test]
    fn a_directory_without_a_key_for_each_purpose_says_how_to_make_them() {
        for purpose in [Purpose::Access, Purpose::Refresh] {
            let directory = generated();
            rewrite(directory.path(), |keys| keys.retain(|key| key.purpose != purpose));

            let error = Keyring::load(directory.path()).expect_err("one is missing").to_string();
            assert!(
                error.contains(&format!("no {purpose} key")) && error.contains("run `postern keys generate`"),
                "{error}"
            );

            generate(directory.path(), OffsetDateTime::UNIX_EPOCH).expect("it can be made");
            Keyring::load(directory.path()).expect("every key");
        }
    }

    #[test]
    fn a_directory_of_the_version_before_has_no_limiter_key_and_can_be_used() {
        let directory = generated();
        rewrite(directory.path(), |keys| keys.retain(|key| key.purpose != Purpose::Limiter));

        let keyring = Keyring::load(directory.path()).expect("keys");
        assert_eq!(keyring.limiter_keys().count(), 0);

        generate(directory.path(), OffsetDateTime::UNIX_EPOCH).expect("it can be made");
        assert_eq!(Keyring::load(directory.path()).expect("every key").limiter_keys().count(), 1);
    }

    #[test]
    fn exactly_one_key_of_each_purpose_is_active() {
        for place in 0..Purpose::ALL.len() {
            for state in [KeyState::Next, KeyState::Retiring] {
                let directory = generated();
                rewrite(directory.path(), |keys| keys[place].state = state);
                let error = Keyring::load(directory.path()).expect_err("none is active").to_string();
                assert!(error.contains("key is active"), "{error}");
            }

            let (directory, other) = (generated(), generated());
            let another = list(other.path()).expect("a manifest").remove(place);
            fs::copy(other.path().join(&another.file), directory.path().join(&another.file)).expect("a copy");
            rewrite(directory.path(), |keys| keys.push(another.clone()));
            let error = Keyring::load(directory.path()).expect_err("two are active").to_string();
            assert!(error.contains("more than one"), "{error}");
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused() {
        for place in [0, 1] {
            let directory = generated();
            rewrite(directory.path(), |keys| {
                let twin = KeyEntry { state: KeyState::Retiring, ..keys[place].clone() };
                keys.push(twin);
            });

            let error = Keyring::load(directory.path()).expect_err("one key, two states").to_string();

            assert!(error.contains("is there twice"), "{error}");
        }
    }

    #[test]
    fn a_file_that_does_not_hold_its_key_is_refused_and_not_repeated() {
        let directory = generated();
        let keys = list(directory.path()).expect("a manifest");
        for (place, key) in keys.iter().enumerate() {
            let file = directory.path().join(&key.file);
            let own = fs::read_to_string(&file).expect("a text");
            for content in ["", "k4.secret.hunter2", "k4.local.hunter2", "hunter2"] {
                write_private(&file, content).expect("it can be written");
                let error = Keyring::load(directory.path()).expect_err("not the key").to_string();
                assert!(!error.contains("hunter2"), "{error}");
            }

            let other = generated();
            let others = list(other.path()).expect("a manifest");
            fs::copy(other.path().join(&others[place].file), &file).expect("a copy");
            let error = Keyring::load(directory.path()).expect_err("not the key");
            assert!(error.to_string().contains("another key than the manifest says"), "{error}");
            write_private(&file, &own).expect("it can be written");
        }
    }

    #[test]
    fn a_manifest_names_no_file_but_those_beside_it() {
        for file in ["../keys.paserk", "/etc/passwd", "a/b", "..", ""] {
            let directory = generated();
            rewrite(directory.path(), |keys| file.clone_into(&mut keys[0].file));

            let error = list(directory.path()).expect_err("not beside it").to_string();

            assert!(error.contains("no name of a file"), "{error}");
        }
    }

    #[test]
    fn a_manifest_without_the_times_of_states_has_had_them_since_the_keys_were_made() {
        let directory = generated();
        let path = directory.path().join(MANIFEST);
        let text = fs::read_to_string(&path).expect("a text");
        let without: Vec<_> = text.lines().filter(|line| !line.contains("since")).collect();
        write_private(&path, &without.join("\n")).expect("it can be written");
        assert!(without.len() < text.lines().count());

        let keys = list(directory.path()).expect("a manifest");

        assert!(keys.iter().all(|key| key.since == key.created && key.since == OffsetDateTime::UNIX_EPOCH), "{keys:?}");
    }

    #[test]
    fn the_active_key_is_the_first_to_count_emails_under() {
        let directory = generated();
        let first = Keyring::load(directory.path()).expect("keys").limiter_keys().next().copied();
        add_next(directory.path(), Purpose::Limiter, OffsetDateTime::UNIX_EPOCH).expect("a key");

        let keyring = Keyring::load(directory.path()).expect("keys");
        assert_eq!((keyring.limiter_keys().count(), keyring.limiter_keys().next().copied()), (2, first));

        rewrite(directory.path(), |keys| {
            keys[2].state = KeyState::Retiring;
            keys[3].state = KeyState::Active;
        });
        let keyring = Keyring::load(directory.path()).expect("keys");
        assert_eq!((keyring.limiter_keys().count(), keyring.limiter_keys().last().copied()), (2, first));
    }

    #[test]
    fn a_reader_never_mixes_what_a_mounted_secret_was_and_is() {
        let generations = [generated(), generated()];
        let ids = generations.each_ref().map(|generation| list(generation.path()).expect("a manifest"));
        let mount = tempfile::tempdir().expect("a temporary directory");
        let turn = |to: &Path| {
            symlink(to, mount.path().join("..data_tmp")).expect("a link");
            fs::rename(mount.path().join("..data_tmp"), mount.path().join("..data")).expect("it is replaced");
        };
        turn(generations[0].path());
        for file in ids.iter().flatten().map(|key| key.file.as_str()).chain([MANIFEST]) {
            let _ = symlink(Path::new("..data").join(file), mount.path().join(file));
        }

        std::thread::scope(|scope| {
            let turning = scope.spawn(|| {
                for generation in generations.iter().cycle().take(1000) {
                    turn(generation.path());
                }
            });
            while !turning.is_finished() {
                let keyring = Keyring::load(mount.path()).expect("a whole set");
                assert!(ids.iter().any(|ids| ids == keyring.entries()));
            }
        });
    }

    #[test]
    fn a_reading_starts_over_where_the_manifest_was_replaced_meanwhile() {
        let directory = generated();
        let slow = KeyEntry { file: "slow".to_owned(), ..list(directory.path()).expect("a manifest").remove(0) };
        let good = fs::read(directory.path().join(MANIFEST)).expect("a manifest");
        rewrite(directory.path(), |keys| keys[0].clone_from(&slow));
        let pipe = directory.path().join("slow");
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().expect("mkfifo").success());

        std::thread::scope(|scope| {
            let reading = scope.spawn(|| Keyring::load(directory.path()));
            // Opened as soon as the reader is there, who finds nothing in it once it is closed.
            let writer = fs::OpenOptions::new().write(true).open(&pipe).expect("the pipe opens");
            crate::os::private_files::write_private(&directory.path().join(MANIFEST), &good)
                .expect("it can be written");
            drop(writer);

            reading.join().expect("no panic").expect("the keys of the new manifest");
        });
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
