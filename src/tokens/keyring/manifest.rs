//! The manifest of a directory of keys, and the files beside it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files::{self, NotPrivate};

/// The manifest's file name.
pub const MANIFEST: &str = "keyring.json";

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Signs access tokens (Ed25519, `k4.secret`).
    Access,
    /// Authenticates refresh tokens (HMAC-SHA-256, `k4.local`).
    Refresh,
}

impl Purpose {
    pub(super) const ALL: [Self; 2] = [Self::Access, Self::Refresh];
}

impl fmt::Display for Purpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
        })
    }
}

/// Where a key stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Verifies already, does not sign yet.
    Next,
    /// Signs and verifies: exactly one for each purpose.
    Active,
    /// Signs no more, still verifies.
    Retiring,
}

impl fmt::Display for KeyState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
        })
    }
}

/// A line of the manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyEntry {
    /// The PASERK id: `k4.pid…` of the public half, `k4.lid…` of a symmetric key.
    pub id: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Where it stands in its life.
    pub state: KeyState,
    /// When it was made (RFC 3339).
    pub created: String,
    /// The file beside the manifest that holds it.
    pub file: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) keys: Vec<KeyEntry>,
}

/// Why a directory of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// No manifest there.
    #[error("there are no keys in {}: run `postern keys generate` first", .0.display())]
    Missing(PathBuf),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that others may read, or that the group may write.
    #[error("{} has mode {mode:04o}: others must not read it and the group must not write it (chmod 600, or 440)", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file that does not hold what the manifest says.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it; never its content.
        reason: String,
    },
}

/// The manifest's lines, in the order in which the keys were made.
///
/// # Errors
/// Where there is no manifest, or it cannot be read.
pub fn list(directory: &Path) -> Result<Vec<KeyEntry>, KeyringError> {
    let path = directory.join(MANIFEST);
    let text = match read_private(&path) {
        Err(KeyringError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(KeyringError::Missing(directory.to_owned()));
        }
        outcome => outcome?,
    };
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| invalid(&path, &error.to_string()))?;
    Ok(manifest.keys)
}

pub(super) fn read_private(path: &Path) -> Result<Zeroizing<String>, KeyringError> {
    files::read_private(path).map_err(|error| match error {
        NotPrivate::Io(source) => io_error(path, source),
        NotPrivate::Exposed { mode } => KeyringError::Exposed { path: path.to_owned(), mode },
    })
}

pub(super) fn write_private(path: &Path, content: &str) -> Result<(), KeyringError> {
    files::write_private(path, content.as_bytes()).map_err(|source| io_error(path, source))
}

pub(super) fn io_error(path: &Path, source: io::Error) -> KeyringError {
    KeyringError::Io { path: path.to_owned(), source }
}

pub(super) fn invalid(path: &Path, reason: &str) -> KeyringError {
    KeyringError::Invalid { path: path.to_owned(), reason: reason.to_owned() }
}
