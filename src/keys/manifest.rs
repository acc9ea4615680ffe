//! The manifest of a key directory, and access to the files in it.

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

/// File name of the manifest.
pub const MANIFEST: &str = "keyring.json";

/// The manifest, and the resolved directory of its files.
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
    /// Reads the manifest after resolving links. Kubernetes mounts a Secret behind a link and redirects the link when the
    /// Secret changes: following it once per file would mix files of two versions.
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

    /// Replaces the manifest atomically.
    pub(super) fn write(directory: &Path, keys: &[KeyEntry]) -> Result<(), KeyringError> {
        let path = directory.join(MANIFEST);
        let document = serde_json::to_string_pretty(&Document { keys: keys.to_vec() });
        let document = document.map_err(|error| invalid(&path, &error.to_string()))?;
        write_private(&path, &document)
    }
}

/// Returns the entries of the manifest, in the order of their creation.
///
/// # Errors
/// Returns [`KeyringError`] if the manifest is missing or unreadable.
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
        NotPrivate::NotText(reason) => invalid(path, &reason.to_string()),
    })
}

pub(super) fn write_private(path: &Path, content: &str) -> Result<(), KeyringError> {
    private_files::write_private(path, content.as_bytes()).map_err(|source| io_error(path, source))
}
