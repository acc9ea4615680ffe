//! Text from others that is shown to people, such as names and user agents.

use std::str::FromStr;

use icu_properties::props::GeneralCategoryGroup;
use unicode_normalization::UnicodeNormalization;

use super::{
    escape::{ControlEscape, escape_control, is_bidi_formatting, is_line_control},
    invisible::{general_category, is_ignorable, without_invisible},
};

/// A text that is one line and cannot change how the text around it looks.
///
/// Parsing trims a text, removes invisible characters and normalises it to NFC (Unicode Annex 15), or refuses it.
/// [`DisplayText::cleaned`] never refuses: it replaces characters.
///
/// Invisible characters stay where scripts or emoji need them: see `invisible.rs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayText(String);

impl DisplayText {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Replaces each control character, line separator and bidirectional control by U+FFFD. A cleaned text stays as it is.
    #[must_use]
    pub fn cleaned(text: &str) -> Self {
        Self(escape_control(text, ControlEscape::Replacement))
    }

    /// Cuts the text at the last character boundary within `max_bytes`.
    #[must_use]
    pub fn truncated(mut self, max_bytes: usize) -> Self {
        self.0.truncate(self.0.floor_char_boundary(max_bytes));
        self
    }

    /// Wraps a parsed text that a store kept. It is not parsed again: the rules may have been different, or another program
    /// may have written it.
    #[must_use]
    pub fn from_store(stored: String) -> Self {
        Self(stored)
    }
}

/// The reason why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDisplayText {
    /// Empty, or only white space, combining marks, and characters that are blank, invisible, unassigned or for private use.
    #[error("expected a visible character")]
    Blank,
    /// Contains a control character (Unicode category Cc) or a line or paragraph separator.
    #[error("expected no control characters or line separators")]
    ControlCharacter,
    /// Contains a bidirectional embedding, override or isolate, which reorders the text around it.
    #[error("expected no bidirectional formatting characters (U+202A to U+202E, U+2066 to U+2069)")]
    BidiFormatting,
}

impl FromStr for DisplayText {
    type Err = InvalidDisplayText;

    fn from_str(written: &str) -> Result<Self, InvalidDisplayText> {
        let trimmed = written.trim();
        if trimmed.contains(is_line_control) {
            return Err(InvalidDisplayText::ControlCharacter);
        }
        if trimmed.contains(is_bidi_formatting) {
            return Err(InvalidDisplayText::BidiFormatting);
        }
        let normalised: String = without_invisible(trimmed).nfc().collect();
        let shown = normalised.trim();
        if !shown.contains(is_visible) {
            return Err(InvalidDisplayText::Blank);
        }
        Ok(Self(shown.to_owned()))
    }
}

/// Visible characters by their properties that are blank: the Braille pattern without dots, and blanks of musical notation
/// and of Egyptian hieroglyphs.
const BLANK: [char; 4] = ['\u{2800}', '\u{1d159}', '\u{13441}', '\u{13442}'];

/// Returns whether a character is visible by itself. A combining mark is not: some of them have no glyph.
fn is_visible(character: char) -> bool {
    let category = general_category(character);
    let has_no_glyph_alone = [GeneralCategoryGroup::Other, GeneralCategoryGroup::Separator, GeneralCategoryGroup::Mark]
        .into_iter()
        .any(|group| group.contains(category));
    !has_no_glyph_alone && !is_ignorable(character) && !BLANK.contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(written: &str) -> Result<String, InvalidDisplayText> {
        written.parse().map(|text: DisplayText| text.0)
    }

    #[test]
    fn removal_leaves_no_space_at_the_ends_and_nfc() {
        assert_eq!(parsed("\u{200b} Zoe\u{200b}\u{308} \u{2060}").as_deref(), Ok("Zoë"));
    }

    #[test]
    fn text_needs_a_visible_character() {
        let invisible =
            "\u{200b}\u{2060}\u{3164}\u{2800}\u{115f}\u{1160}\u{ffa0}\u{ad}\u{feff}\u{200d}\u{200c}\u{200e}\u{fe0f}";
        let other_blanks =
            "\u{3000}\u{2003}\u{e000}\u{10ffff}\u{378}\u{600}\u{1d159}\u{13441}\u{e0041}\u{fff9}\u{13430}";
        let marks = "\u{301}\u{20dd}\u{903}\u{2d7f}\u{1107f}\u{16fe4}";
        for blank in [invisible, other_blanks, marks].concat().chars().map(String::from) {
            assert_eq!(parsed(&blank), Err(InvalidDisplayText::Blank), "{}", blank.escape_unicode());
            assert!(parsed(&format!("{blank}x")).is_ok(), "{}", blank.escape_unicode());
        }
        assert_eq!(parsed(&format!(" {invisible}{other_blanks}{marks} ")), Err(InvalidDisplayText::Blank));
    }

    #[test]
    fn characters_that_break_or_reorder_text_are_refused() {
        for control in "\0\n\t\u{1b}\u{7f}\u{85}\u{9b}\u{2028}\u{2029}".chars() {
            assert_eq!(parsed(&format!("a{control}b")), Err(InvalidDisplayText::ControlCharacter), "{control:?}");
        }
        for bidi in ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}') {
            assert_eq!(parsed(&format!("a{bidi}b")), Err(InvalidDisplayText::BidiFormatting), "{bidi:?}");
        }
    }

    #[test]
    fn cleaned_text_has_no_control_characters_and_stays_clean() {
        let cleaned = DisplayText::cleaned("curl\n\u{1b}[31m\u{0}\u{9b}\u{2028}\u{202e}x \"ë\" 👩\u{200d}💻");

        let expected = "curl\u{fffd}\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}\u{fffd}x \"ë\" 👩\u{200d}💻";
        assert_eq!(cleaned.as_str(), expected);
        assert_eq!(DisplayText::cleaned(expected), cleaned);
    }

    #[test]
    fn stored_text_is_not_parsed_again() {
        assert_eq!(DisplayText::from_store("\u{202e}\u{200b}".to_owned()).as_str(), "\u{202e}\u{200b}");
    }
}
