//! Display names.

use std::str::FromStr;

use unicode_normalization::UnicodeNormalization;

/// The longest name, in characters.
pub const MAX_CHARACTERS: usize = 255;

/// A display name: trimmed, in NFC (Unicode Annex 15), without control characters, 1 to 255 characters.
///
/// ```
/// use postern::model::Name;
///
/// let name: Name = "  Zoe\u{308} ".parse()?;
/// assert_eq!(name.as_str(), "Zoë");
/// # Ok::<(), postern::model::InvalidName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Returns the normalised name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Wraps a name that a store kept. The caller guarantees that [`Name::as_str`] returned it.
    #[must_use]
    pub fn from_store(stored: String) -> Self {
        Self(stored)
    }
}

/// The reason why a text is not a valid name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Empty, or only white space.
    #[error("expected a name that is not blank")]
    Blank,
    /// Longer than [`MAX_CHARACTERS`].
    #[error("expected a name of at most {MAX_CHARACTERS} characters")]
    TooLong,
    /// Contains a control character (Unicode category Cc).
    #[error("expected a name without control characters")]
    ControlCharacter,
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(written: &str) -> Result<Self, InvalidName> {
        let normalised: String = written.trim().nfc().collect();
        if normalised.is_empty() {
            return Err(InvalidName::Blank);
        }
        if normalised.chars().count() > MAX_CHARACTERS {
            return Err(InvalidName::TooLong);
        }
        if normalised.chars().any(char::is_control) {
            return Err(InvalidName::ControlCharacter);
        }
        Ok(Self(normalised))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn name_is_trimmed_and_composed() {
        let name: Name = "\u{a0}Zoe\u{308} \n".parse().expect("a valid name");

        assert_eq!(name.as_str(), "Zoë");
    }

    #[test]
    fn name_has_1_to_255_characters() {
        assert_eq!(" ".parse::<Name>(), Err(InvalidName::Blank));
        assert!("ë".repeat(255).parse::<Name>().is_ok());
        assert_eq!("ë".repeat(256).parse::<Name>(), Err(InvalidName::TooLong));
    }

    #[test]
    fn name_with_control_character_is_rejected() {
        assert_eq!("Ada\u{0}Lovelace".parse::<Name>(), Err(InvalidName::ControlCharacter));
        assert_eq!("Ada\nLovelace".parse::<Name>(), Err(InvalidName::ControlCharacter));
    }

    proptest! {
        #[test]
        fn normalised_name_is_its_own_normal_form(
            written in "(?s)[ae \u{a0}\u{300}-\u{310}\u{958}\u{1100}\u{1161}\u{11a8}\u{2000}]{0,24}|\\PC{0,24}|.{0,300}",
        ) {
            if let Ok(name) = written.parse::<Name>() {
                let text = name.as_str();
                prop_assert!((1..=MAX_CHARACTERS).contains(&text.chars().count()));
                prop_assert!(!text.chars().any(char::is_control) && text.trim() == text);
                prop_assert_eq!(text.parse(), Ok(name.clone()));
            }
        }
    }
}
