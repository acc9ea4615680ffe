//! Display names.

use std::str::FromStr;

use super::display_text::{DisplayText, InvalidDisplayText};

/// The longest name, in characters.
pub const MAX_CHARACTERS: usize = 255;

/// A display name: a [`DisplayText`] of 1 to 255 characters.
///
/// ```
/// use postern::model::Name;
///
/// let name: Name = "  Zoe\u{308} ".parse()?;
/// assert_eq!(name.as_str(), "Zoë");
/// # Ok::<(), postern::model::InvalidName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(DisplayText);

impl Name {
    /// Returns the normalised name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Wraps a name that a store kept, which is [not parsed again](DisplayText::from_store).
    #[must_use]
    pub fn from_store(stored: String) -> Self {
        Self(DisplayText::from_store(stored))
    }
}

/// The reason why a text is not a valid name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not a text that may be shown.
    #[error(transparent)]
    Text(#[from] InvalidDisplayText),
    /// Longer than [`MAX_CHARACTERS`].
    #[error("expected a name of at most {MAX_CHARACTERS} characters")]
    TooLong,
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(written: &str) -> Result<Self, InvalidName> {
        let text: DisplayText = written.parse()?;
        if text.as_str().chars().count() > MAX_CHARACTERS {
            return Err(InvalidName::TooLong);
        }
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_hostile(character: char) -> bool {
        character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    }

    #[test]
    fn name_is_trimmed_and_composed() {
        let name: Name = "\u{a0}Zoe\u{308} \n".parse().expect("a valid name");

        assert_eq!(name.as_str(), "Zoë");
    }

    #[test]
    fn name_has_1_to_255_characters() {
        assert_eq!(" ".parse::<Name>(), Err(InvalidName::Text(InvalidDisplayText::Blank)));
        assert_eq!("\u{200b}".parse::<Name>(), Err(InvalidName::Text(InvalidDisplayText::Blank)));
        assert!("ë".repeat(255).parse::<Name>().is_ok());
        assert!(format!("{}\u{200e}", "ë".repeat(255)).parse::<Name>().is_ok());
        assert_eq!("ë".repeat(256).parse::<Name>(), Err(InvalidName::TooLong));
    }

    proptest! {
        #[test]
        fn normalised_name_is_its_own_normal_form(
            written in "(?s)[ae \u{a0}\u{300}-\u{310}\u{958}\u{1100}\u{1161}\u{11a8}\u{2000}]{0,24}|\\PC{0,24}|.{0,300}\
                |[a \u{300}\u{5bc}\u{654}\u{64a}\u{627}\u{93c}\u{94d}\u{915}👩🏽\u{200b}-\u{200f}\u{fe0f}\u{34f}\u{e0041}]{0,24}\
                |[ 1\u{301}\u{1037}\u{1039}\u{1000}\u{1025}\u{102e}\u{fa19}\u{182d}\u{180b}\u{180e}\u{fe00}\u{fe0f}\u{e0100}\
                🏴\u{e0061}\u{e007f}\u{200b}\u{13000}\u{13430}\u{18b00}\u{16fe4}]{0,24}",
        ) {
            if let Ok(name) = written.parse::<Name>() {
                let text = name.as_str();
                prop_assert!((1..=MAX_CHARACTERS).contains(&text.chars().count()));
                prop_assert!(!text.contains(is_hostile) && text.trim() == text);
                prop_assert_eq!(text.parse(), Ok(name.clone()));
            }
        }
    }
}
