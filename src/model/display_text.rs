//! Text from others that is shown to people, such as names and user agents.

use std::str::FromStr;

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{
        DefaultIgnorableCodePoint, EmojiModifier, ExtendedPictographic, GeneralCategory, GeneralCategoryGroup,
        JoiningType, VariationSelector,
    },
};
use unicode_normalization::{UnicodeNormalization, char::canonical_combining_class};

use super::escape::{ControlEscape, escape_control, is_bidi_formatting, is_line_control};

/// A text that is one line and cannot change how the text around it looks.
///
/// Parsing trims a text, removes invisible characters and normalises it to NFC (Unicode Annex 15), or refuses it.
/// [`DisplayText::cleaned`] never refuses: it replaces characters.
///
/// Invisible characters are those with the property `Default_Ignorable_Code_Point`. Some of them change the shape of
/// the characters around them, and parsing keeps these where scripts or emoji need them:
///
/// - ZWNJ and ZWJ after a virama, and ZWNJ between letters that would join (RFC 5892, appendices A.1 and A.2); ZWJ before a
///   virama, as in Bengali (Unicode Standard, section 12.2)
/// - ZWJ between emoji (UTS 51, definition ED-16), and tag characters after one (ED-14a)
/// - a variation selector, and the Mongolian vowel separator, after a visible character
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
    /// Empty, or only white space and characters that are blank, invisible, unassigned or for private use.
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

const ZWNJ: char = '\u{200c}';
const ZWJ: char = '\u{200d}';
const MONGOLIAN_VOWEL_SEPARATOR: char = '\u{180e}';

/// The `Canonical_Combining_Class` of viramas.
const VIRAMA: u8 = 9;

/// Visible characters by their properties that are blank: the Braille pattern without dots, and blanks of musical notation
/// and of Egyptian hieroglyphs.
const BLANK: [char; 4] = ['\u{2800}', '\u{1d159}', '\u{13441}', '\u{13442}'];

/// Removes the invisible characters that no script or emoji needs. Contexts are the same for canonically equivalent texts, so
/// the result can be normalised.
fn without_invisible(text: &str) -> impl Iterator<Item = char> {
    let mut before = Before::default();
    text.char_indices().filter_map(move |(start, character)| {
        let after = &text[start + character.len_utf8()..];
        let is_kept = !is_ignorable(character) || before.needs(character, after);
        is_kept.then(|| before.push(character))
    })
}

/// The properties of the characters before a position.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "the properties are independent of each other")]
struct Before {
    /// Whether the last combining marks include a virama.
    virama: bool,
    /// Whether the last character that is not transparent joins the next one.
    joins: bool,
    /// Whether the last characters are an emoji.
    emoji: bool,
    /// Whether the last character is neither invisible nor white space.
    visible: bool,
}

impl Before {
    /// Returns whether an invisible character is needed here.
    fn needs(&self, ignorable: char, after: &str) -> bool {
        match ignorable {
            ZWNJ => self.virama || (self.joins && starts_joining(after)),
            ZWJ => {
                let is_emoji_sequence = self.emoji && after.starts_with(is_pictograph);
                self.virama || (self.visible && starts_with_virama(after)) || is_emoji_sequence
            }
            _ if is_tag(ignorable) => self.emoji,
            _ => self.visible && (is_variation_selector(ignorable) || ignorable == MONGOLIAN_VOWEL_SEPARATOR),
        }
    }

    fn push(&mut self, character: char) -> char {
        let class = canonical_combining_class(character);
        self.virama = class == VIRAMA || (self.virama && class != 0);
        let joining = joining_type(character);
        if joining != JoiningType::Transparent {
            self.joins = joining == JoiningType::LeftJoining || joining == JoiningType::DualJoining;
        }
        let extends_emoji = is_variation_selector(character)
            || CodePointSetData::new::<EmojiModifier>().contains(character)
            || is_tag(character);
        self.emoji = is_pictograph(character) || (self.emoji && extends_emoji);
        self.visible = !is_ignorable(character) && !character.is_whitespace();
        character
    }
}

/// Returns whether the combining marks at the start include a virama.
fn starts_with_virama(text: &str) -> bool {
    text.chars().map(canonical_combining_class).take_while(|class| *class != 0).any(|class| class == VIRAMA)
}

/// Returns whether the first character that is not transparent joins the one before.
fn starts_joining(text: &str) -> bool {
    let first = text.chars().map(joining_type).find(|joining| *joining != JoiningType::Transparent);
    first.is_some_and(|first| first == JoiningType::RightJoining || first == JoiningType::DualJoining)
}

fn joining_type(character: char) -> JoiningType {
    CodePointMapData::<JoiningType>::new().get(character)
}

fn is_ignorable(character: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

fn is_variation_selector(character: char) -> bool {
    CodePointSetData::new::<VariationSelector>().contains(character)
}

fn is_pictograph(character: char) -> bool {
    CodePointSetData::new::<ExtendedPictographic>().contains(character)
}

fn is_tag(character: char) -> bool {
    matches!(character, '\u{e0020}'..='\u{e007f}')
}

fn is_visible(character: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    let has_no_glyph =
        GeneralCategoryGroup::Other.contains(category) || GeneralCategoryGroup::Separator.contains(category);
    !has_no_glyph && !is_ignorable(character) && !BLANK.contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(written: &str) -> Result<String, InvalidDisplayText> {
        written.parse().map(|text: DisplayText| text.0)
    }

    #[track_caller]
    fn expect_kept(texts: &[&str]) {
        for text in texts {
            assert_eq!(parsed(text).as_deref(), Ok(*text), "{}", text.escape_unicode());
        }
    }

    #[test]
    fn joiners_are_kept_where_a_script_needs_them() {
        expect_kept(&[
            // Persian: ZWNJ between letters that would join, also with a vowel mark between.
            "نامه\u{200c}ای",
            "نامه\u{650}\u{200c}ای",
            // Devanagari: the half form of ka, and a visible virama; the nukta and the virama in canonical order.
            "क\u{94d}\u{200d}ष",
            "क\u{94d}\u{200c}ष",
            "ज\u{93c}\u{94d}\u{200d}ष",
            // Malayalam, an old spelling: a chillu at the end.
            "അവന\u{d4d}\u{200d}",
            // Bengali: ya-phala after ra.
            "র\u{200d}\u{9cd}যাচেল",
            // Sinhala: rakaransaya.
            "ශ\u{dca}\u{200d}රී",
        ]);
    }

    #[test]
    fn invisible_characters_of_emoji_are_kept() {
        expect_kept(&[
            "👩\u{200d}💻",
            "👩🏽\u{200d}❤\u{fe0f}\u{200d}💋\u{200d}👨🏿",
            "🏳\u{fe0f}\u{200d}🌈",
            "Ada 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
        ]);
    }

    #[test]
    fn variation_selector_is_kept_after_a_visible_character() {
        // A variant of the ideograph in the name 渡邉, and a Mongolian vowel separator.
        expect_kept(&["渡邉\u{e0101}", "ᠰᠠᠷ\u{180e}ᠠ"]);

        assert_eq!(parsed("\u{fe0f}渡\u{e0101}\u{e0102} \u{fe0f}邉").as_deref(), Ok("渡\u{e0101} 邉"));
    }

    #[test]
    fn other_invisible_characters_are_removed() {
        for (written, expected) in [
            // Left-to-right, right-to-left and Arabic letter marks.
            ("\u{200e}Ada\u{200f} \u{61c}", "Ada"),
            ("א\u{200f}!", "א!"),
            // Zero width spaces, word joiner, soft hyphen, Hangul filler, tags.
            ("A\u{200b}d\u{2060}a\u{feff}\u{ad} L\u{3164}\u{e0041}", "Ada L"),
            // Joiners without a context.
            ("A\u{200d}d\u{200c}a\u{200d}", "Ada"),
            ("\u{200d}नमस\u{200d}ते\u{200c}", "नमसते"),
            ("ا\u{200c}ب\u{200d}", "اب"),
            ("👩\u{200d}\u{200d}💻\u{200d}", "👩\u{200d}💻"),
        ] {
            assert_eq!(parsed(written).as_deref(), Ok(expected), "{}", written.escape_unicode());
        }
    }

    #[test]
    fn removal_leaves_no_space_at_the_ends_and_nfc() {
        assert_eq!(parsed("\u{200b} Zoe\u{200b}\u{308} \u{2060}").as_deref(), Ok("Zoë"));
    }

    #[test]
    fn text_needs_a_visible_character() {
        let invisible =
            "\u{200b}\u{2060}\u{3164}\u{2800}\u{115f}\u{1160}\u{ffa0}\u{ad}\u{feff}\u{200d}\u{200c}\u{200e}\u{fe0f}";
        let other_blanks = "\u{3000}\u{2003}\u{e000}\u{10ffff}\u{378}\u{600}\u{1d159}\u{13441}\u{e0041}";
        for blank in [invisible, other_blanks].concat().chars().map(String::from) {
            assert_eq!(parsed(&blank), Err(InvalidDisplayText::Blank), "{}", blank.escape_unicode());
            assert!(parsed(&format!("{blank}x")).is_ok(), "{}", blank.escape_unicode());
        }
        assert_eq!(parsed(&format!(" {invisible}{other_blanks} ")), Err(InvalidDisplayText::Blank));
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
