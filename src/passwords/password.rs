//! A password.

use std::{fmt, sync::Arc};

use subtle::ConstantTimeEq as _;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// The longest password, in code points after NFC. NIST SP 800-63B-4, section 3.1.1.2, asks for at least 64.
pub const MAX_CODE_POINTS: usize = 256;

/// A password as somebody typed it, in NFC (NIST SP 800-63B-4, section 3.1.1.2), and wiped from memory after use.
pub struct Password(Arc<Zeroizing<String>>);

impl Password {
    /// Any text: a password is neither trimmed nor cut.
    #[must_use]
    pub fn new(typed: &str) -> Self {
        // No step of NFC makes a text more than three times as long (Unicode Annex 15, section 9), and a String that
        // never grows leaves no copy behind.
        let mut normalised = Zeroizing::new(String::with_capacity(3 * typed.len()));
        normalised.extend(typed.nfc());
        Self(Arc::new(normalised))
    }

    /// Whether it is longer than any password that could have been set.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        self.code_points() > MAX_CODE_POINTS
    }

    /// Whether both are the same text, found out in a time that does not depend on how much of it is.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.as_str().as_bytes().ct_eq(other.as_str().as_bytes()).into()
    }

    fn code_points(&self) -> usize {
        self.0.chars().count()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The same password for another thread, not a copy of it.
    pub(super) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_one_character_are_one_password() {
        assert!(Password::new("Zoe\u{308}").is_same_as(&Password::new("Zoë")));
        assert!(!Password::new("Zoe").is_same_as(&Password::new("Zoë")));
    }

    #[test]
    fn white_space_is_part_of_a_password() {
        assert!(!Password::new(" secret").is_same_as(&Password::new("secret")));
    }

    #[test]
    fn a_password_cannot_be_printed() {
        assert_eq!(format!("{:?}", Password::new("secret")), "Password(..)");
    }
}
