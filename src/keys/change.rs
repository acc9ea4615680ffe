//! Changes of a directory of keys, in an order that a crash cannot spoil.

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
use crate::os::private_files;

/// A set of keys in the making: nothing counts before [`Changeset::commit`], and then everything at once.
///
/// New keys have their files before the manifest names them, and dropped ones until it names them no more: whatever is cut
/// off leaves a directory that can be used, with at most a file beside it that nobody reads.
pub(super) struct Changeset {
    directory: PathBuf,
    keys: Vec<KeyEntry>,
    dropped: Vec<PathBuf>,
    /// One at a time: of two that change the keys at once, the later one would undo what the other has told its caller.
    _lock: fs::File,
}

impl Changeset {
    /// Waits until nobody else changes the directory, and reads its manifest.
    pub(super) fn begin(directory: &Path) -> Result<Self, KeyringError> {
        if !directory.is_dir() {
            return Err(KeyringError::Missing(directory.to_owned()));
        }
        let mut change = Self::locked(directory)?;
        change.keys = list(directory)?;
        Ok(change)
    }

    /// The same where there may be nothing yet: then the directory is made, with no keys.
    pub(super) fn begin_anew(directory: &Path) -> Result<Self, KeyringError> {
        private_files::create_private_directory(directory).map_err(|source| io_error(directory, source))?;
        let mut change = Self::locked(directory)?;
        match list(directory) {
            // Before the first key: files of keys without a manifest are the remains of one that was lost.
            Err(KeyringError::Missing(_)) => Manifest::write(directory, &[])?,
            listed => change.keys = listed?,
        }
        Ok(change)
    }

    fn locked(directory: &Path) -> Result<Self, KeyringError> {
        let lock = fs::File::open(directory).and_then(|lock| lock.lock().map(|()| lock));
        let lock = lock.map_err(|source| io_error(directory, source))?;
        Ok(Self { directory: directory.to_owned(), keys: Vec::new(), dropped: Vec::new(), _lock: lock })
    }

    /// The keys as they will be, in the order in which they were made.
    pub(super) fn keys(&self) -> &[KeyEntry] {
        &self.keys
    }

    /// Those of a purpose in a state.
    pub(super) fn keys_in(&self, purpose: Purpose, state: KeyState) -> Vec<KeyEntry> {
        let is_such = |key: &&KeyEntry| key.purpose == purpose && key.state == state;
        self.keys.iter().filter(is_such).cloned().collect()
    }

    /// A new key.
    pub(super) fn make(
        &mut self,
        purpose: Purpose,
        state: KeyState,
        now: OffsetDateTime,
    ) -> Result<KeyEntry, KeyringError> {
        let (id, paserk) = new_key(purpose, &self.directory)?;
        // The id's characters are those of base64url: they may stand in a file name, and in the key of a Secret.
        let file = format!("{purpose}-{}.paserk", &id[ID_PREFIX_LENGTH..ID_PREFIX_LENGTH + 12]);
        write_private(&self.directory.join(&file), &paserk)?;
        let key = KeyEntry { id, purpose, state, since: next_second(now), created: next_second(now), file };
        self.keys.push(key.clone());
        Ok(key)
    }

    /// Moves a key on, and returns it as it will be.
    pub(super) fn transition(&mut self, key: &KeyEntry, state: KeyState, now: OffsetDateTime) -> KeyEntry {
        let moved = KeyEntry { state, since: next_second(now), ..key.clone() };
        let is_it = |other: &&mut KeyEntry| other.id == key.id;
        self.keys.iter_mut().filter(is_it).for_each(|entry| entry.clone_from(&moved));
        moved
    }

    /// Forgets a key.
    pub(super) fn remove(&mut self, key: &KeyEntry) {
        self.keys.retain(|other| other.id != key.id);
        self.dropped.push(self.directory.join(&key.file));
    }

    /// Makes it so. Where the file of a dropped key stays, the others are removed all the same.
    pub(super) fn commit(self) -> Result<(), KeyringError> {
        Manifest::write(&self.directory, &self.keys)?;
        let remove = |path: PathBuf| match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(KeyringError::FileStays { path, source }),
            _ => private_files::sync_parent(&path).map_err(|source| io_error(&path, source)),
        };
        let removed: Vec<_> = self.dropped.into_iter().map(remove).collect();
        removed.into_iter().collect()
    }
}

/// A state begins with the next second, lest a key be in it for a fraction less than it has to.
fn next_second(now: OffsetDateTime) -> OffsetDateTime {
    crate::clock::whole_seconds(now + time::Duration::nanoseconds(999_999_999))
}

/// A new key: its id, and its PASERK.
fn new_key(purpose: Purpose, directory: &Path) -> Result<(String, Zeroizing<String>), KeyringError> {
    let no_randomness = |_| invalid(directory, "the system has no random numbers to give");
    // Longer than any PASERK of these kinds, since a text that grows leaves copies of its beginning behind.
    let mut paserk = Zeroizing::new(String::with_capacity(256));
    let id = match purpose {
        Purpose::Access => {
            let pair = AsymmetricKeyPair::<V4>::generate().map_err(no_randomness)?;
            pair.secret.fmt(&mut *paserk).unwrap_or_else(|_| unreachable!("a String takes whatever is written"));
            public_id(&pair.public)
        }
        Purpose::Refresh | Purpose::Limiter => {
            let key = SymmetricKey::<V4>::generate().map_err(no_randomness)?;
            key.fmt(&mut *paserk).unwrap_or_else(|_| unreachable!("a String takes whatever is written"));
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

    /// Everything in a directory.
    fn files(directory: &Path) -> BTreeSet<PathBuf> {
        fs::read_dir(directory).expect("a directory").map(|file| file.expect("a file").path()).collect()
    }

    /// Has every attempt to replace the manifest fail.
    fn block(directory: &Path) {
        fs::create_dir(directory.join(format!("{MANIFEST}.new"))).expect("a directory in the way");
    }

    #[test]
    fn a_new_key_has_its_file_before_the_manifest_names_it() {
        let directory = generated();
        let mut change = Changeset::begin(directory.path()).expect("keys");
        block(directory.path());
        let before = files(directory.path());

        change.make(Purpose::Access, KeyState::Next, OffsetDateTime::UNIX_EPOCH).expect("a file");
        assert_eq!(files(directory.path()).difference(&before).count(), 1);
        change.commit().expect_err("the manifest cannot be replaced");

        let keyring = Keyring::load(directory.path()).expect("the keys of before");
        assert_eq!(keyring.entries().len(), Purpose::ALL.len());
    }

    #[test]
    fn a_dropped_key_has_its_file_until_the_manifest_names_it_no_more() {
        let directory = generated();
        let mut change = Changeset::begin(directory.path()).expect("keys");
        block(directory.path());
        let before = files(directory.path());

        let key = change.keys()[0].clone();
        change.remove(&key);
        change.commit().expect_err("the manifest cannot be replaced");

        assert_eq!(files(directory.path()), before);
        Keyring::load(directory.path()).expect("the keys of before");
    }

    #[test]
    fn a_dropped_key_whose_file_is_gone_already_is_dropped() {
        let directory = generated();
        let mut change = Changeset::begin(directory.path()).expect("keys");
        let key = change.keys()[0].clone();
        fs::remove_file(directory.path().join(&key.file)).expect("it is there");

        change.remove(&key);
        change.commit().expect("nothing is left to do");

        assert!(!list(directory.path()).expect("a manifest").contains(&key));
    }
}
