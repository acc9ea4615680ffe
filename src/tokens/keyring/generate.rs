//! New keys.

use std::{fs, path::Path};

use pasetors::{
    keys::{AsymmetricKeyPair, Generate as _, SymmetricKey},
    paserk::FormatAsPaserk as _,
    version4::V4,
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{
    ID_PREFIX_LENGTH,
    manifest::{KeyEntry, KeyState, KeyringError, MANIFEST, Manifest, Purpose, invalid, io_error, list, write_private},
    public_id, symmetric_id,
};
use crate::{clock, files};

/// Makes an active key for each purpose that has no key yet, and returns the new entries: none where nothing was
/// missing. The directory is made where it is not there.
///
/// # Errors
/// Where the directory cannot be written, or holds a manifest that cannot be read.
pub fn generate(directory: &Path, now: OffsetDateTime) -> Result<Vec<KeyEntry>, KeyringError> {
    files::create_private_directory(directory).map_err(|source| io_error(directory, source))?;
    // One at a time: of two that make keys at once, the later one would replace what the other has told its caller.
    let lock = fs::File::open(directory).and_then(|lock| lock.lock().map(|()| lock));
    let _lock = lock.map_err(|source| io_error(directory, source))?;
    let mut entries = match list(directory) {
        Err(KeyringError::Missing(_)) => Vec::new(),
        outcome => outcome?,
    };
    let is_missing = |purpose: &Purpose| !entries.iter().any(|entry| entry.purpose == *purpose);
    let missing: Vec<_> = Purpose::ALL.into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let made: Vec<_> =
        missing.into_iter().map(|purpose| make_key(directory, purpose, now)).collect::<Result<_, _>>()?;
    entries.extend(made.iter().cloned());
    let manifest = serde_json::to_string_pretty(&Manifest { keys: entries })
        .map_err(|error| invalid(&directory.join(MANIFEST), &error.to_string()))?;
    // The manifest comes last: until it names them, the new files do not count.
    write_private(&directory.join(MANIFEST), &manifest)?;
    Ok(made)
}

fn make_key(directory: &Path, purpose: Purpose, now: OffsetDateTime) -> Result<KeyEntry, KeyringError> {
    let no_randomness = |_| invalid(directory, "the system has no random numbers to give");
    // Longer than any PASERK of these kinds, since a text that grows leaves copies of its beginning behind.
    let mut paserk = Zeroizing::new(String::with_capacity(256));
    let id = match purpose {
        Purpose::Access => {
            let pair = AsymmetricKeyPair::<V4>::generate().map_err(no_randomness)?;
            pair.secret.fmt(&mut *paserk).unwrap_or_else(|_| unreachable!("a String takes whatever is written"));
            public_id(&pair.public)
        }
        Purpose::Refresh => {
            let key = SymmetricKey::<V4>::generate().map_err(no_randomness)?;
            key.fmt(&mut *paserk).unwrap_or_else(|_| unreachable!("a String takes whatever is written"));
            symmetric_id(&key)
        }
    };
    // The id's characters are those of base64url: they may stand in a file name, and in the key of a Secret.
    let file = format!("{purpose}-{}.paserk", &id[ID_PREFIX_LENGTH..ID_PREFIX_LENGTH + 12]);
    write_private(&directory.join(&file), &paserk)?;
    Ok(KeyEntry { id, purpose, state: KeyState::Active, created: clock::rfc3339(now), file })
}
