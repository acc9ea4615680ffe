//! Why keys cannot be used, or not be changed.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::entry::{KeyState, Purpose};

/// Why a directory of keys cannot be used, or not be changed as somebody asked.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// No manifest there.
    #[error("there are no keys in {}: run `postern keys generate` first", .0.display())]
    Missing(PathBuf),
    /// The manifest alone is gone.
    #[error("keyring.json is gone from {}, and what it said of the keys there: restore it, or move them away and run `postern keys generate`, which signs everybody out", .0.display())]
    ManifestLost(PathBuf),
    /// A dropped key's file could not be removed.
    #[error("the key has been dropped, but its file stays, and has to be removed: {}: {source}", path.display())]
    FileStays {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No key of this purpose, whatever its state.
    #[error("there is no {purpose} key in {}: run `postern keys generate`", directory.display())]
    MissingPurpose {
        /// Which directory.
        directory: PathBuf,
        /// What there is no key for.
        purpose: Purpose,
    },
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
    /// No key has this id.
    #[error("there is no key {0}")]
    Unknown(String),
    /// Nothing to activate.
    #[error("there is no next {0} key: make one by `postern keys generate {0}`")]
    NoNext(Purpose),
    /// One is enough.
    #[error("{id} is the next {purpose} key already")]
    NextIsThere {
        /// What a key was asked for.
        purpose: Purpose,
        /// The one that is there.
        id: String,
    },
    /// The step does not follow on the key's state.
    #[error("{id} is {state}, and not {needed}")]
    WrongState {
        /// Which key.
        id: String,
        /// The state that it is in.
        state: KeyState,
        /// The state that it would have to be in.
        needed: KeyState,
    },
    /// The step would be taken before everybody is ready for it.
    #[error("{id} has to stay {state} until {until}")]
    TooEarly {
        /// Which key.
        id: String,
        /// The state that it is in.
        state: KeyState,
        /// When it has been in that state for long enough (RFC 3339).
        until: String,
    },
}

pub(super) fn io_error(path: &Path, source: io::Error) -> KeyringError {
    KeyringError::Io { path: path.to_owned(), source }
}

pub(super) fn invalid(path: &Path, reason: &str) -> KeyringError {
    KeyringError::Invalid { path: path.to_owned(), reason: reason.to_owned() }
}

/// Why a text is not taken for a token that a key of ours has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyError {
    /// Its shape, its signature or its claims are not ours.
    Invalid,
    /// It names a key that the keyring does not have: one that was added since, perhaps.
    UnknownKey,
}
