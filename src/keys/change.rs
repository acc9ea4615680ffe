//! Crash-safe changes of a key directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use pasetors::{
    keys::{AsymmetricKeyPair, Generate as _, SymmetricKey},
    paserk::FormatAsPaserk as _,
    version4::V4,
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{
    entry::{KeyEntry, KeyState, Purpose},
    error::{KeyringError, invalid, io_error},
    keyring::{ID_PREFIX_LENGTH, public_id, symmetric_id},
    manifest::{Manifest, list, write_private},
};
use crate::os::{directory_lock::lock_directory, private_files};

/// Changes that take effect together, at [`Changeset::commit`].
///
/// A new key's file is written before the manifest names it, and a removed key's file is deleted after the manifest no
/// longer names it. A crash in between leaves a usable directory, with at most one unused file in it.
pub(super) struct Changeset {
    directory: PathBuf,
    keys: Vec<KeyEntry>,
    removed_files: Vec<PathBuf>,
    /// Serialises changes: of two concurrent ones, the later would overwrite the committed result of the other.
    _lock: fs::File,
}

impl Changeset {
    /// Waits for the lock on the directory and reads its manifest.
    pub(super) fn begin(directory: &Path) -> Result<Self, KeyringError> {
        if !directory.is_dir() {
            return Err(KeyringError::Missing(directory.to_owned()));
        }
        let mut change = Self::locked(directory)?;
        change.keys = list(directory)?;
        Ok(change)
    }

    /// Begins like [`Changeset::begin`], but creates the directory and an empty manifest if they are missing.
    pub(super) fn begin_or_create(directory: &Path) -> Result<Self, KeyringError> {
        private_files::create_private_directory(directory).map_err(|source| io_error(directory, source))?;
        let mut change = Self::locked(directory)?;
        match list(directory) {
            // Written before the first key: key files without a manifest mean that the manifest was lost.
            Err(KeyringError::Missing(_)) => Manifest::write(directory, &[])?,
            listed => change.keys = listed?,
        }
        Ok(change)
    }

    fn locked(directory: &Path) -> Result<Self, KeyringError> {
        let lock = lock_directory(directory).map_err(|source| io_error(directory, source))?;
        Ok(Self { directory: directory.to_owned(), keys: Vec::new(), removed_files: Vec::new(), _lock: lock })
    }

    /// Returns the keys after the changes so far, in the order of their creation.
    pub(super) fn keys(&self) -> &[KeyEntry] {
        &self.keys
    }

    /// Returns the keys of this purpose that are in this state.
    pub(super) fn keys_in(&self, purpose: Purpose, state: KeyState) -> Vec<KeyEntry> {
        let matches = |key: &&KeyEntry| key.purpose == purpose && key.state == state;
        self.keys.iter().filter(matches).cloned().collect()
    }

    /// Generates a key, writes its file and returns its entry.
    pub(super) fn generate(
        &mut self,
        purpose: Purpose,
        state: KeyState,
        now: OffsetDateTime,
    ) -> Result<KeyEntry, KeyringError> {
        let (id, paserk) = new_key(purpose, &self.directory)?;
        // An id consists of base64url characters, which are valid in file names and in the keys of a Secret.
        let file = format!("{purpose}-{}.paserk", &id[ID_PREFIX_LENGTH..ID_PREFIX_LENGTH + 12]);
        write_private(&self.directory.join(&file), &paserk)?;
        let key = KeyEntry { id, purpose, state, since: next_second(now), created: next_second(now), file };
        self.keys.push(key.clone());
        Ok(key)
    }

    /// Moves a key to another state and returns its new entry.
    pub(super) fn transition(&mut self, key: &KeyEntry, state: KeyState, now: OffsetDateTime) -> KeyEntry {
        let updated = KeyEntry { state, since: next_second(now), ..key.clone() };
        let is_same = |other: &&mut KeyEntry| other.id == key.id;
        self.keys.iter_mut().filter(is_same).for_each(|entry| entry.clone_from(&updated));
        updated
    }

    /// Removes a key.
    pub(super) fn remove(&mut self, key: &KeyEntry) {
        self.keys.retain(|other| other.id != key.id);
        self.removed_files.push(self.directory.join(&key.file));
    }

    /// Writes the manifest and deletes the files of removed keys. If one cannot be deleted, the others still are.
    pub(super) fn commit(self) -> Result<(), KeyringError> {
        Manifest::write(&self.directory, &self.keys)?;
        let remove = |path: PathBuf| match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(KeyringError::FileStays { path, source }),
            _ => private_files::sync_parent(&path).map_err(|source| io_error(&path, source)),
        };
        let outcomes: Vec<_> = self.removed_files.into_iter().map(remove).collect();
        outcomes.into_iter().collect()
    }
}

/// Rounds up to whole seconds, so that a key is never in a state for less than the required time.
fn next_second(now: OffsetDateTime) -> OffsetDateTime {
    crate::clock::whole_seconds(now + time::Duration::nanoseconds(999_999_999))
}

/// Generates a key and returns its id and its PASERK.
fn new_key(purpose: Purpose, directory: &Path) -> Result<(String, Zeroizing<String>), KeyringError> {
    let no_randomness = |_| invalid(directory, "the system provided no random numbers");
    // Longer than any PASERK of these types: a string that reallocates leaves copies of the secret in memory.
    let mut paserk = Zeroizing::new(String::with_capacity(256));
    let id = match purpose {
        Purpose::Access => {
            let pair = AsymmetricKeyPair::<V4>::generate().map_err(no_randomness)?;
            pair.secret.fmt(&mut *paserk).unwrap_or_else(|_| unreachable!("writing to a String never fails"));
            public_id(&pair.public)
        }
        Purpose::Refresh | Purpose::Limiter => {
            let key = SymmetricKey::<V4>::generate().map_err(no_randomness)?;
            key.fmt(&mut *paserk).unwrap_or_else(|_| unreachable!("writing to a String never fails"));
            symmetric_id(&key)
        }
    };
    Ok((id, paserk))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{
        super::{keyring::Keyring, manifest::MANIFEST, testing::generated},
        *,
    };

    /// Returns the paths of everything in a directory.
    fn files(directory: &Path) -> BTreeSet<PathBuf> {
        fs::read_dir(directory).expect("a directory").map(|file| file.expect("a file").path()).collect()
    }

    /// Makes every attempt to replace the manifest fail.
    fn block(directory: &Path) {
        fs::create_dir(directory.join(format!("{MANIFEST}.new"))).expect("a directory in the way");
    }

    #[test]
    fn new_key_file_is_written_before_the_manifest() {
        let directory = generated();
        let mut change = Changeset::begin(directory.path()).expect("keys");
        block(directory.path());
        let before = files(directory.path());

        change.generate(Purpose::Access, KeyState::Next, OffsetDateTime::UNIX_EPOCH).expect("a file");
        assert_eq!(files(directory.path()).difference(&before).count(), 1);
        change.commit().expect_err("the manifest cannot be replaced");

        let keyring = Keyring::load(directory.path()).expect("the previous keys");
        assert_eq!(keyring.entries().len(), Purpose::ALL.len());
    }

    #[test]
    fn removed_key_keeps_its_file_until_the_manifest_is_written() {
        let directory = generated();
        let mut change = Changeset::begin(directory.path()).expect("keys");
        block(directory.path());
        let before = files(directory.path());

        let key = change.keys()[0].clone();
        change.remove(&key);
        change.commit().expect_err("the manifest cannot be replaced");

        assert_eq!(files(directory.path()), before);
        Keyring::load(directory.path()).expect("the previous keys");
    }

    #[test]
    fn key_whose_file_is_missing_can_be_removed() {
        let directory = generated();
        let mut change = Changeset::begin(directory.path()).expect("keys");
        let key = change.keys()[0].clone();
        fs::remove_file(directory.path().join(&key.file)).expect("the key file exists");

        change.remove(&key);
        change.commit().expect("a missing file is not an error");

        assert!(!list(directory.path()).expect("a manifest").contains(&key));
    }
}
