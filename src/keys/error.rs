//! Errors of key directories and of token verification.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::entry::{KeyState, Purpose};
use crate::os::private_files::EXPECTED_MODE;

/// Why a key directory is unusable, or a change of it is rejected.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The directory has neither a manifest nor keys.
    #[error("no keys in {}: run `postern keys generate` first", .0.display())]
    Missing(PathBuf),
    /// The directory has keys, but no manifest.
    #[error("keyring.json is missing from {}, which has keys: restore it, or move the keys away and run `postern keys generate`, which signs out all users", .0.display())]
    ManifestLost(PathBuf),
    /// The file of a removed key could not be deleted.
    #[error("removed the key, but failed to delete its file {}: {source}; delete the file", path.display())]
    FileStays {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The directory has no key of this purpose, in any state.
    #[error("no {purpose} key in {}: run `postern keys generate`", directory.display())]
    MissingPurpose {
        /// The directory.
        directory: PathBuf,
        /// The purpose without a key.
        purpose: Purpose,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Others can read the file, or its group can write it.
    #[error("{} has mode {mode:04o}: {EXPECTED_MODE}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// The permission bits.
        mode: u32,
    },
    /// The content of a file is invalid, or contradicts the manifest.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The reason; never contains the content.
        reason: String,
    },
    /// No key has this id.
    #[error("no key has the id {0}")]
    Unknown(String),
    /// The purpose has no next key to activate.
    #[error("no next {0} key: run `postern keys generate {0}`")]
    NoNext(Purpose),
    /// The purpose already has a next key.
    #[error("{id} is already the next {purpose} key")]
    NextExists {
        /// The purpose that has one.
        purpose: Purpose,
        /// The id of that key.
        id: String,
    },
    /// The key's state does not allow the step.
    #[error("{id} is {state}: expected a key that is {needed}")]
    WrongState {
        /// The id of the key.
        id: String,
        /// The state of the key.
        state: KeyState,
        /// The state that the step requires.
        needed: KeyState,
    },
    /// The key has not been in its state for long enough.
    #[error("{id} must stay {state} until {until}")]
    TooEarly {
        /// The id of the key.
        id: String,
        /// The state of the key.
        state: KeyState,
        /// The earliest time of the step (RFC 3339).
        until: String,
    },
}

pub(super) fn io_error(path: &Path, source: io::Error) -> KeyringError {
    KeyringError::Io { path: path.to_owned(), source }
}

pub(super) fn invalid(path: &Path, reason: &str) -> KeyringError {
    KeyringError::Invalid { path: path.to_owned(), reason: reason.to_owned() }
}

/// Why a token is not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyError {
    /// The format, the signature or the claims are invalid.
    Invalid,
    /// The token names a key that is not in the keyring; it may have been added since the last reload.
    UnknownKey,
}
