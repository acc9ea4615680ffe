//! An entry of the manifest: a key, its purpose and its state.

use std::{fmt, path::Path, str::FromStr};

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::clock::rfc3339;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Signs access tokens (Ed25519, `k4.secret`).
    Access,
    /// Authenticates refresh tokens (HMAC-SHA-256, `k4.local`).
    Refresh,
    /// Hides the emails that limits on failed logins are counted by (HMAC-SHA-256, `k4.local`).
    Limiter,
}

impl Purpose {
    /// Every purpose: a keyring has a key for each.
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

/// Which key to activate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySelector {
    /// The next one of a purpose.
    NextOf(Purpose),
    /// The one with this id.
    Id(String),
}

impl FromStr for KeySelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("k4.") {
            return Ok(Self::Id(text.to_owned()));
        }
        text.parse().map(Self::NextOf).map_err(|expected| format!("an id of a key, or {expected}"))
    }
}

/// A line of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ManifestEntry", into = "ManifestEntry")]
pub struct KeyEntry {
    /// The PASERK id: `k4.pid…` of the public half, `k4.lid…` of a symmetric key.
    pub id: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Where it stands in its life.
    pub state: KeyState,
    /// When it came into that state, in whole seconds.
    pub since: OffsetDateTime,
    /// When it was made, in whole seconds.
    pub created: OffsetDateTime,
    /// The file beside the manifest that holds it.
    pub file: String,
}

/// The same, as it is written: times as RFC 3339.
#[derive(Serialize, Deserialize)]
struct ManifestEntry {
    id: String,
    purpose: Purpose,
    state: KeyState,
    /// Absent where the key has been in its first state ever since it was made.
    #[serde(default)]
    since: Option<String>,
    created: String,
    file: String,
}

impl TryFrom<ManifestEntry> for KeyEntry {
    type Error = String;

    fn try_from(written: ManifestEntry) -> Result<Self, String> {
        let ManifestEntry { id, purpose, state, since, created, file } = written;
        // What is named here is read, and removed one day: it must be nothing else of somebody's.
        if Path::new(&file).file_name() != Some(file.as_ref()) {
            return Err(format!("`{file}` is no name of a file beside the manifest"));
        }
        let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).map_err(|_| format!("`{text}` is no time"));
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
