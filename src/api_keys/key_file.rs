//! The file of API keys.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use super::scopes::{InvalidScopes, Scopes};
use crate::os::private_files;

/// Minimum and maximum length of an API key, in characters. 32 characters of base64 are 192 bits, which cannot be guessed
/// from a digest without salt.
const KEY_CHARACTERS: std::ops::RangeInclusive<usize> = 32..=256;

/// Maximum length of a client's name, in characters.
const MAX_NAME_CHARACTERS: usize = 64;

/// The name of an API client, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiClientName(Arc<str>);

impl ApiClientName {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An API key, of which only the SHA-256 digest is stored.
#[derive(PartialEq)]
pub(super) struct ApiKey {
    pub client: ApiClientName,
    pub digest: [u8; 32],
    pub scopes: Scopes,
}

/// Why a file of API keys is unusable. Never contains the file's content.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeysError {
    /// The file is unreadable, or others can read it.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A line is invalid.
    #[error("{}, line {number}: {fault}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        number: usize,
        /// The fault.
        fault: LineFault,
    },
}

/// The fault of a line in a file of API keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// The line has fewer than two words or more than three.
    #[error("expected a name, a key and optionally scopes, separated by white space")]
    Words,
    /// The name is invalid.
    #[error("invalid name: expected 1 to {MAX_NAME_CHARACTERS} characters of A-Z a-z 0-9 . _ -")]
    Name,
    /// The key is invalid.
    #[error("invalid key: expected {} to {} ASCII characters, as `openssl rand -base64 32` prints", KEY_CHARACTERS.start(), KEY_CHARACTERS.end())]
    Key,
    /// A scope is unknown.
    #[error("invalid scopes: expected introspect, admin:read or admin, or several of them, separated by commas")]
    UnknownScope,
    /// A scope is repeated.
    #[error("invalid scopes: expected each scope once")]
    RepeatedScope,
    /// An earlier line has the same key.
    #[error("duplicate key: an earlier line has the same")]
    Repeated,
}

impl From<InvalidScopes> for LineFault {
    fn from(invalid: InvalidScopes) -> Self {
        match invalid {
            InvalidScopes::Unknown => Self::UnknownScope,
            InvalidScopes::Repeated => Self::RepeatedScope,
        }
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<ApiKey>, ApiKeysError> {
    let text = private_files::read_private(path)
        .map_err(|error| ApiKeysError::Unreadable { path: path.to_owned(), reason: error.to_string() })?;
    let mut digests = HashSet::new();
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let keys = lines.map(|(number, line)| {
        let key = parse(line).and_then(|key| digests.insert(key.digest).then_some(key).ok_or(LineFault::Repeated));
        key.map_err(|fault| ApiKeysError::Line { path: path.to_owned(), number, fault })
    });
    keys.collect()
}

fn parse(line: &str) -> Result<ApiKey, LineFault> {
    let mut words = line.split_whitespace();
    let (Some(name), Some(key), scopes, None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(LineFault::Words);
    };
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() > MAX_NAME_CHARACTERS || !name.bytes().all(is_name_byte) {
        return Err(LineFault::Name);
    }
    if !KEY_CHARACTERS.contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(LineFault::Key);
    }
    let scopes = scopes.map(str::parse).transpose()?.unwrap_or_default();
    Ok(ApiKey { client: ApiClientName(name.into()), digest: Sha256::digest(key).into(), scopes })
}
