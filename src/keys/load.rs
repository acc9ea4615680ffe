//! Loads a complete set of keys.

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
    verifying_key::VerifyingKey,
};
use crate::model::KeyTag;

/// Maximum number of attempts to read a directory that changes meanwhile.
const MAX_ATTEMPTS: usize = 5;

impl Keyring {
    /// Reads a directory that [`super::generate()`] filled.
    ///
    /// Each file must contain the key whose id the manifest gives. If one does not, or is missing, and the manifest has been
    /// replaced meanwhile, the load starts over.
    ///
    /// # Errors
    /// Returns [`KeyringError`] if a file is missing, exposed or contradicts the manifest, or if a purpose does not have
    /// exactly one active key.
    pub fn load(directory: &Path) -> Result<Self, KeyringError> {
        let (mut manifest, mut loaded) = Self::read(directory);
        for _ in 1..MAX_ATTEMPTS {
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
            // A directory of the previous version has no limiter key.
            Err(KeyringError::MissingPurpose { .. }) => None,
            limiter => Some(limiter?),
        };
        let (mut signing, mut refresh_tag) = (None, None);
        let (mut verifying, mut refresh_keys, mut limiter_keys) = (HashMap::new(), HashMap::new(), Vec::new());
        for entry in &manifest.keys {
            let path = manifest.directory.join(&entry.file);
            let is_first = match read_key(&path, entry)? {
                LoadedKey::Signing(AsymmetricKeyPair { public, secret }) => {
                    if entry.id == access.id {
                        let footer = format!(r#"{{"kid":"{}"}}"#, entry.id);
                        signing = Some(SigningKey { id: entry.id.clone(), secret, footer });
                    }
                    let key = VerifyingKey::new(public)
                        .ok_or_else(|| invalid(&path, "weak key: expected a point of large order"))?;
                    verifying.insert(entry.id.clone(), key).is_none()
                }
                LoadedKey::Symmetric(key) if entry.purpose == Purpose::Refresh => {
                    let tag = key_tag(&entry.id, &path)?;
                    if entry.id == refresh.id {
                        refresh_tag = Some(tag);
                    }
                    refresh_keys.insert(tag, key).is_none()
                }
                LoadedKey::Symmetric(key) => {
                    let is_active = limiter.is_some_and(|limiter| limiter.id == entry.id);
                    let index = if is_active { 0 } else { limiter_keys.len() };
                    limiter_keys.insert(index, key);
                    true
                }
            };
            if !is_first {
                return Err(invalid(&manifest.directory.join(MANIFEST), &format!("{} appears twice", entry.id)));
            }
        }
        let read = signing.zip(refresh_tag);
        let (signing, refresh) = read.unwrap_or_else(|| unreachable!("the active keys are among the entries"));
        Ok(Self { entries: manifest.keys.clone(), signing, verifying, refresh, refresh_keys, limiter_keys })
    }
}

enum LoadedKey {
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

/// Reads the key of an entry and checks its id.
fn read_key(path: &Path, entry: &KeyEntry) -> Result<LoadedKey, KeyringError> {
    let text = read_private(path)?;
    let paserk = text.trim();
    let (id, key) = match entry.purpose {
        Purpose::Access => {
            let secret = AsymmetricSecretKey::<V4>::try_from(paserk)
                .map_err(|_| invalid(path, "invalid content: expected a PASERK of the form k4.secret.…"))?;
            let public = AsymmetricPublicKey::<V4>::try_from(&secret)
                .map_err(|_| invalid(path, "the public key does not match the secret key"))?;
            (public_id(&public), LoadedKey::Signing(AsymmetricKeyPair { public, secret }))
        }
        Purpose::Refresh | Purpose::Limiter => {
            let key = SymmetricKey::<V4>::try_from(paserk)
                .map_err(|_| invalid(path, "invalid content: expected a PASERK of the form k4.local.…"))?;
            (symmetric_id(&key), LoadedKey::Symmetric(bytes_of(&key)))
        }
    };
    if id != entry.id {
        return Err(invalid(path, "wrong key: expected the key that keyring.json names"));
    }
    Ok(key)
}

/// Returns the first four bytes of the digest in a PASERK id.
fn key_tag(id: &str, path: &Path) -> Result<KeyTag, KeyringError> {
    use base64::Engine as _;
    let digest = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&id[ID_PREFIX_LENGTH..]).ok();
    let tag = digest.as_deref().and_then(<[u8]>::first_chunk).copied();
    tag.map(KeyTag).ok_or_else(|| invalid(path, "invalid id: expected a PASERK id"))
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
    fn error_for_missing_keys_names_the_command() {
        let directory = tempfile::tempdir().expect("a temporary directory");

        let error = Keyring::load(directory.path()).expect_err("an empty directory");

        assert!(error.to_string().contains("run `postern keys generate`"), "{error}");
    }

    #[test]
    fn error_for_a_missing_purpose_names_the_command() {
        for purpose in [Purpose::Access, Purpose::Refresh] {
            let directory = generated();
            rewrite(directory.path(), |keys| keys.retain(|key| key.purpose != purpose));

            let error = Keyring::load(directory.path()).expect_err("a key is missing").to_string();
            assert!(
                error.contains(&format!("no {purpose} key")) && error.contains("run `postern keys generate`"),
                "{error}"
            );

            generate(directory.path(), OffsetDateTime::UNIX_EPOCH).expect("keys can be generated");
            Keyring::load(directory.path()).expect("every key");
        }
    }

    #[test]
    fn directory_without_a_limiter_key_is_usable() {
        let directory = generated();
        rewrite(directory.path(), |keys| keys.retain(|key| key.purpose != Purpose::Limiter));

        let keyring = Keyring::load(directory.path()).expect("keys");
        assert_eq!(keyring.limiter_keys().count(), 0);

        generate(directory.path(), OffsetDateTime::UNIX_EPOCH).expect("keys can be generated");
        assert_eq!(Keyring::load(directory.path()).expect("every key").limiter_keys().count(), 1);
    }

    #[test]
    fn each_purpose_needs_exactly_one_active_key() {
        for index in 0..Purpose::ALL.len() {
            for state in [KeyState::Next, KeyState::Retiring] {
                let directory = generated();
                rewrite(directory.path(), |keys| keys[index].state = state);
                let error = Keyring::load(directory.path()).expect_err("none is active").to_string();
                assert!(error.contains("key is active"), "{error}");
            }

            let (directory, other) = (generated(), generated());
            let another = list(other.path()).expect("a manifest").remove(index);
            fs::copy(other.path().join(&another.file), directory.path().join(&another.file)).expect("a copy");
            rewrite(directory.path(), |keys| keys.push(another.clone()));
            let error = Keyring::load(directory.path()).expect_err("two are active").to_string();
            assert!(error.contains("more than one"), "{error}");
        }
    }

    #[test]
    fn duplicate_key_is_rejected() {
        for index in [0, 1] {
            let directory = generated();
            rewrite(directory.path(), |keys| {
                let twin = KeyEntry { state: KeyState::Retiring, ..keys[index].clone() };
                keys.push(twin);
            });

            let error = Keyring::load(directory.path()).expect_err("one key, two states").to_string();

            assert!(error.contains("appears twice"), "{error}");
        }
    }

    #[test]
    fn file_without_its_key_is_rejected_and_not_printed() {
        let directory = generated();
        let keys = list(directory.path()).expect("a manifest");
        for (index, key) in keys.iter().enumerate() {
            let file = directory.path().join(&key.file);
            let own = fs::read_to_string(&file).expect("a text");
            for content in ["", "k4.secret.hunter2", "k4.local.hunter2", "hunter2"] {
                write_private(&file, content).expect("the file can be written");
                let error = Keyring::load(directory.path()).expect_err("not the key").to_string();
                assert!(!error.contains("hunter2"), "{error}");
            }

            let other = generated();
            let others = list(other.path()).expect("a manifest");
            fs::copy(other.path().join(&others[index].file), &file).expect("a copy");
            let error = Keyring::load(directory.path()).expect_err("not the key");
            assert!(error.to_string().contains("wrong key: expected the key that keyring.json names"), "{error}");
            write_private(&file, &own).expect("the file can be written");
        }
    }

    #[test]
    fn manifest_names_only_files_in_its_directory() {
        for file in ["../keys.paserk", "/etc/passwd", "a/b", "..", ""] {
            let directory = generated();
            rewrite(directory.path(), |keys| file.clone_into(&mut keys[0].file));

            let error = list(directory.path()).expect_err("a file elsewhere").to_string();

            assert!(error.contains("expected a file name"), "{error}");
        }
    }

    #[test]
    fn missing_state_time_is_the_creation_time() {
        let directory = generated();
        let path = directory.path().join(MANIFEST);
        let text = fs::read_to_string(&path).expect("a text");
        let without: Vec<_> = text.lines().filter(|line| !line.contains("since")).collect();
        write_private(&path, &without.join("\n")).expect("the file can be written");
        assert!(without.len() < text.lines().count());

        let keys = list(directory.path()).expect("a manifest");

        assert!(keys.iter().all(|key| key.since == key.created && key.since == OffsetDateTime::UNIX_EPOCH), "{keys:?}");
    }

    #[test]
    fn active_limiter_key_comes_first() {
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
    fn load_never_mixes_two_versions_of_a_mounted_secret() {
        let generations = [generated(), generated()];
        let ids = generations.each_ref().map(|generation| list(generation.path()).expect("a manifest"));
        let mount = tempfile::tempdir().expect("a temporary directory");
        let switch = |to: &Path| {
            symlink(to, mount.path().join("..data_tmp")).expect("a link");
            fs::rename(mount.path().join("..data_tmp"), mount.path().join("..data")).expect("the link is replaced");
        };
        switch(generations[0].path());
        for file in ids.iter().flatten().map(|key| key.file.as_str()).chain([MANIFEST]) {
            let _ = symlink(Path::new("..data").join(file), mount.path().join(file));
        }

        std::thread::scope(|scope| {
            let switching = scope.spawn(|| {
                for generation in generations.iter().cycle().take(1000) {
                    switch(generation.path());
                }
            });
            while !switching.is_finished() {
                let keyring = Keyring::load(mount.path()).expect("a complete set");
                assert!(ids.iter().any(|ids| ids == keyring.entries()));
            }
        });
    }

    #[test]
    fn load_starts_over_if_the_manifest_is_replaced() {
        let directory = generated();
        let slow = KeyEntry { file: "slow".to_owned(), ..list(directory.path()).expect("a manifest").remove(0) };
        let good = fs::read(directory.path().join(MANIFEST)).expect("a manifest");
        rewrite(directory.path(), |keys| keys[0].clone_from(&slow));
        let pipe = directory.path().join("slow");
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().expect("mkfifo").success());

        std::thread::scope(|scope| {
            let reading = scope.spawn(|| Keyring::load(directory.path()));
            // Opens when the reader has opened the pipe; closing it gives the reader an empty file.
            let writer = fs::OpenOptions::new().write(true).open(&pipe).expect("the pipe opens");
            crate::os::private_files::write_private(&directory.path().join(MANIFEST), &good)
                .expect("the file can be written");
            drop(writer);

            reading.join().expect("no panic").expect("the keys of the new manifest");
        });
    }

    #[test]
    fn keyring_cannot_be_printed() {
        let directory = generated();
        let keyring = Keyring::load(directory.path()).expect("keys");

        let printed = format!("{keyring:?}");

        for key in list(directory.path()).expect("a manifest") {
            let secret = fs::read_to_string(directory.path().join(key.file)).expect("a text");
            assert!(!printed.contains(secret.trim_start_matches("k4.secret.").trim_start_matches("k4.local.")));
        }
    }
}
