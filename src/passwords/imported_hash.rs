//! Password hashes of Django, which were imported with their users.

/// An imported hash that can be verified.
#[derive(Debug)]
pub struct ImportedHash {
    recipe: String,
}

/// The reason why an imported hash is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableHash {
    /// Not an algorithm that is verified, such as `md5`.
    #[error("unknown or insecure algorithm")]
    Algorithm,
    /// A known algorithm, but its parameters, salt or hash are malformed.
    #[error("malformed hash")]
    Malformed,
    /// Its parameters are over the limits.
    #[error("too costly parameters")]
    TooCostly,
}

impl ImportedHash {
    /// Parses Django's encoded form, such as `pbkdf2_sha256$1000000$salt$hash`.
    ///
    /// # Errors
    /// Returns [`UnusableHash`] if Postern never verifies this hash.
    pub fn parse(encoded: &str) -> Result<Self, UnusableHash> {
        let mut parts = encoded.split('$');
        match (parts.next(), parts.next()) {
            (Some("pbkdf2_sha256"), Some(rounds)) => Ok(Self { recipe: format!("pbkdf2_sha256${rounds}") }),
            _ => Err(UnusableHash::Algorithm),
        }
    }

    /// Returns the algorithm and the cost parameters, without salt and hash, such as `pbkdf2_sha256$1000000`.
    #[must_use]
    pub fn recipe(&self) -> &str {
        &self.recipe
    }
}
