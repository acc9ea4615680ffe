//! The hashes that a password is compared with.

use std::sync::Arc;

use super::{argon2id::ParsedHash, imported_hash::ImportedHash};
use crate::model::PasswordHash;

/// A hash that a password is compared with. A comparison takes the time of the hash, also if it is known not to match.
pub struct Comparison {
    pub(super) hash: ReadableHash,
    pub(super) may_match: bool,
}

pub(super) enum ReadableHash {
    Own(Box<ParsedHash>),
    Imported(Arc<ImportedHash>),
    /// One with the current parameters.
    Dummy,
}

impl Comparison {
    /// Compares with a stored hash. Returns `None` if it cannot be read.
    #[must_use]
    pub fn with(hash: &PasswordHash) -> Option<Self> {
        let hash = match ParsedHash::parse(hash) {
            Some(own) => ReadableHash::Own(Box::new(own)),
            None => ReadableHash::Imported(Arc::new(ImportedHash::parse(hash.as_phc()).ok()?)),
        };
        Some(Self { hash, may_match: true })
    }

    /// Takes the time of a hash with the current parameters, and never matches.
    #[must_use]
    pub fn dummy() -> Self {
        Self { hash: ReadableHash::Dummy, may_match: false }
    }

    /// Takes the time of this imported hash, and never matches.
    #[must_use]
    pub fn imported_dummy(hash: Arc<ImportedHash>) -> Self {
        Self { hash: ReadableHash::Imported(hash), may_match: false }
    }

    /// Makes the comparison not match.
    #[must_use]
    pub fn never_matching(self) -> Self {
        Self { may_match: false, ..self }
    }

    /// Returns whether the hash is an imported one.
    #[must_use]
    pub fn is_imported(&self) -> bool {
        self.imported_hash().is_some()
    }

    /// Returns the hash if it is an imported one.
    pub(super) fn imported_hash(&self) -> Option<&ImportedHash> {
        if let ReadableHash::Imported(hash) = &self.hash { Some(hash) } else { None }
    }
}
