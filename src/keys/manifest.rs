//! The manifest of a directory of keys, and the files beside it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    entry::KeyEntry,
    error::{KeyringError, invalid, io_error},
};
use crate::os::private_files::{self, NotPrivate};

/// The manifest's file name.
pub const MANIFEST: &str = "keyring.json";

/// The manifest, and the one directory in which the files are that it names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) directory: PathBuf,
    pub(super) keys: Vec<KeyEntry>,
}

#[derive(Serialize, Deserialize)]
struct Document {
    keys: Vec<KeyEntry>,
}

impl Manifest {
    /// Reads it where it really is. A Secret is mounted behind a link, which is turned to another directory when the Secret
    /// changes: whoever follows it once for each file meets files of both.
    pub(super) fn read(directory: &Path) -> Result<Self, KeyringError> {
        let named = directory.join(MANIFEST);
        let path = match fs::canonicalize(&named) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let lost = if has_key_files(directory) { KeyringError::ManifestLost } else { KeyringError::Missing };
                return Err(lost(directory.to_owned()));
            }
            outcome => outcome.map_err(|source| io_error(&named, source))?,
        };
        let text = read_private(&path)?;
        let Document { keys } = serde_json::from_str(&text).map_err(|error| invalid(&path, &error.to_string()))?;
        let directory = path.parent().unwrap_or(directory).to_owned();
        Ok(Self { directory, keys })
    }

    /// Replaces it, as a whole.
    pub(super) fn write(directory: &Path, keys: &[KeyEntry]) -> Result<(), KeyringError> {
        let path = directory.join(MANIFEST);
        let document = serde_json::to_string_pretty(&Document { keys: keys.to_vec() });
        let document = document.map_err(|error| invalid(&path, &error.to_string()))?;
        write_private(&path, &document)
    }
}

/// The manifest's lines, in the order in which the keys were made.
///
/// # Errors
/// Where there is no manifest, or it cannot be read.
pub fn list(directory: &Path) -> Result<Vec<KeyEntry>, KeyringError> {
    Manifest::read(directory).map(|manifest| manifest.keys)
}

fn has_key_files(directory: &Path) -> bool {
    let is_key = |entry: fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "paserk");
    fs::read_dir(directory).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_key)))
}

pub(super) fn read_private(path: &Path) -> Result<Zeroizing<String>, KeyringError> {
    private_files::read_private(path).map_err(|error| match error {
        NotPrivate::Io(source) => io_error(path, source),
        NotPrivate::Exposed { mode } => KeyringError::Exposed { path: path.to_owned(), mode },
    })
}

pub(super) fn write_private(path: &Path, content: &str) -> Result<(), KeyringError> {
    private_files::write_private(path, content.as_bytes()).map_err(|source| io_error(path, source))
}
