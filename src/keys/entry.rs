//! Entries of the manifest: a key's id, purpose and state.

use std::{fmt, path::Path, str::FromStr};

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::clock::rfc3339;

/// The purpose of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Signs access tokens (Ed25519, `k4.secret`).
    Access,
    /// Authenticates refresh tokens (HMAC-SHA-256, `k4.local`).
    Refresh,
    /// Pseudonymises the emails in the counters of failed logins (HMAC-SHA-256, `k4.local`).
    Limiter,
}

impl Purpose {
    /// All purposes; a keyring has a key for each.
    pub const ALL: [Self; 3] = [Self::Access, Self::Refresh, Self::Limiter];
}

impl fmt::Display for Purpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
            Self::Limiter => "limiter",
        })
    }
}

impl FromStr for Purpose {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|purpose| purpose.to_string() == name);
        named.ok_or_else(|| format!("one of: {}", Self::ALL.map(|purpose| purpose.to_string()).join(", ")))
    }
}

/// The state of a key in its lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Verifies, but does not sign yet.
    Next,
    /// Signs and verifies; each purpose has exactly one active key.
    Active,
    /// Verifies, but no longer signs.
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

/// Selects the key to activate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySelector {
    /// The next key of this purpose.
    NextOf(Purpose),
    /// The key with this id.
    Id(String),
}

impl FromStr for KeySelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("k4.") {
            return Ok(Self::Id(text.to_owned()));
        }
        text.parse().map(Self::NextOf).map_err(|expected| format!("a key id, or {expected}"))
    }
}

/// An entry of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ManifestEntry", into = "ManifestEntry")]
pub struct KeyEntry {
    /// The PASERK id: `k4.pid…` of a public key, `k4.lid…` of a symmetric key.
    pub id: String,
    /// The purpose.
    pub purpose: Purpose,
    /// The current state.
    pub state: KeyState,
    /// Start of the current state, in whole seconds.
    pub since: OffsetDateTime,
    /// Time of creation, in whole seconds.
    pub created: OffsetDateTime,
    /// Name of the key's file, in the directory of the manifest.
    pub file: String,
}

/// The JSON form of [`KeyEntry`]; times are RFC 3339.
#[derive(Serialize, Deserialize)]
struct ManifestEntry {
    id: String,
    purpose: Purpose,
    state: KeyState,
    /// Absent if the key is still in its first state.
    #[serde(default)]
    since: Option<String>,
    created: String,
    file: String,
}

impl TryFrom<ManifestEntry> for KeyEntry {
    type Error = String;

    fn try_from(written: ManifestEntry) -> Result<Self, String> {
        let ManifestEntry { id, purpose, state, since, created, file } = written;
        // This file is read, and deleted later: it must not be outside the directory.
        if Path::new(&file).file_name() != Some(file.as_ref()) {
            return Err(format!("invalid file `{file}`: expected a file name without a directory"));
        }
        let time = |text: &str| {
            OffsetDateTime::parse(text, &Rfc3339).map_err(|_| format!("invalid time `{text}`: expected RFC 3339"))
        };
        Ok(Self {
            since: time(since.as_deref().unwrap_or(&created))?,
            created: time(&created)?,
            id,
            purpose,
            state,
            file,
        })
    }
}

impl From<KeyEntry> for ManifestEntry {
    fn from(key: KeyEntry) -> Self {
        let KeyEntry { id, purpose, state, since, created, file } = key;
        Self { id, purpose, state, since: Some(rfc3339(since)), created: rfc3339(created), file }
    }
}
