//! A password in plain text.

use std::{fmt, sync::Arc};

use subtle::ConstantTimeEq as _;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// The longest password, in code points after NFC. NIST SP 800-63B-4, section 3.1.1.2, requires that 64 are allowed.
pub const MAX_CODE_POINTS: usize = 256;

/// A password as the user typed it, and in NFC (NIST SP 800-63B-4, section 3.1.1.2). Its memory is wiped after use.
///
/// Everything uses the NFC form but imported hashes, which other programs made without normalisation.
pub struct Password(Arc<Forms>);

struct Forms {
    normalised: Zeroizing<String>,
    /// `None` if it is in NFC.
    typed: Option<Zeroizing<String>>,
}

impl Password {
    /// Normalises any text to a password. It is neither trimmed nor truncated.
    #[must_use]
    pub fn new(typed: &str) -> Self {
        // NFC makes a text at most three times as long (Unicode Annex 15, section 9). A String that never grows leaves no
        // copy in freed memory.
        let mut normalised = Zeroizing::new(String::with_capacity(3 * typed.len()));
        normalised.extend(typed.nfc());
        let typed = (*normalised != typed).then(|| Zeroizing::new(typed.to_owned()));
        Self(Arc::new(Forms { normalised, typed }))
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
        self.0.normalised.chars().count()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0.normalised
    }

    /// Returns the NFC form without white space at its ends.
    pub(super) fn trimmed(&self) -> &str {
        strip(&self.0.normalised)
    }

    /// Returns the text that was typed.
    pub(super) fn as_typed(&self) -> &str {
        self.0.typed.as_ref().unwrap_or(&self.0.normalised)
    }

    /// Returns the text that was typed without white space at its ends; `None` if it has none, or consists of it.
    pub(super) fn as_typed_and_trimmed(&self) -> Option<&str> {
        let (typed, trimmed) = (self.as_typed(), strip(self.as_typed()));
        (trimmed.len() < typed.len() && !trimmed.is_empty()).then_some(trimmed)
    }

    /// Returns a reference to the same memory, for another thread.
    pub(super) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Removes the characters at both ends that Python's `str.strip` removes, with which Django REST framework trims passwords:
/// white space, and four separators of ASCII that are none in Unicode.
fn strip(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character))
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
    fn typed_text_is_kept_beside_the_nfc_form() {
        let password = Password::new(" Zoe\u{308}\u{1f}\u{3000}");

        assert_eq!((password.as_str(), password.trimmed()), (" Zoë\u{1f}\u{3000}", "Zoë"));
        assert_eq!(password.as_typed(), " Zoe\u{308}\u{1f}\u{3000}");
        assert_eq!(password.as_typed_and_trimmed(), Some("Zoe\u{308}"));
        assert_eq!(Password::new("Zo ë").as_typed_and_trimmed(), None);
        assert_eq!(Password::new(" \t").as_typed_and_trimmed(), None);
        assert_eq!(Password::new("\u{200b}x").as_typed_and_trimmed(), None);
    }

    #[test]
    fn debug_hides_the_password() {
        assert_eq!(format!("{:?}", Password::new("secret")), "Password(..)");
    }
}
