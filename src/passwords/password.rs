//! A password in plain text.

use std::{fmt, sync::Arc};

use subtle::ConstantTimeEq as _;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// The longest password, in code points after NFC. NIST SP 800-63B-4, section 3.1.1.2, requires that 64 are allowed.
pub const MAX_CODE_POINTS: usize = 256;

/// A password as the user typed it, in NFC (NIST SP 800-63B-4, section 3.1.1.2). Its memory is wiped after use.
pub struct Password(Arc<Zeroizing<String>>);

impl Password {
    /// Normalises any text to a password. It is neither trimmed nor truncated.
    #[must_use]
    pub fn new(typed: &str) -> Self {
        // NFC makes a text at most three times as long (Unicode Annex 15, section 9). A String that never grows leaves no
        // copy in freed memory.
        let mut normalised = Zeroizing::new(String::with_capacity(3 * typed.len()));
        normalised.extend(typed.nfc());
        Self(Arc::new(normalised))
    }

    /// Returns whether the password is longer than any password that can be set.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        self.code_points() > MAX_CODE_POINTS
    }

    /// Returns whether two passwords are equal, in constant time for equal lengths.
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

    /// Returns a reference to the same memory, for another thread.
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
    fn composed_and_decomposed_characters_are_equal() {
        assert!(Password::new("Zoe\u{308}").is_same_as(&Password::new("Zoë")));
        assert!(!Password::new("Zoe").is_same_as(&Password::new("Zoë")));
    }

    #[test]
    fn whitespace_is_part_of_a_password() {
        assert!(!Password::new(" secret").is_same_as(&Password::new("secret")));
    }

    #[test]
    fn debug_hides_the_password() {
        assert_eq!(format!("{:?}", Password::new("secret")), "Password(..)");
    }
}
