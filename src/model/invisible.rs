//! Invisible characters, and where scripts and emoji need them.

use std::ops::RangeInclusive;

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{
        DefaultIgnorableCodePoint, EmojiModifier, ExtendedPictographic, GeneralCategory, GeneralCategoryGroup,
        Ideographic, JoiningType, PrependedConcatenationMark, VariationSelector,
    },
};
use unicode_normalization::char::canonical_combining_class;

const ZWNJ: char = '\u{200c}';
const ZWJ: char = '\u{200d}';
const MONGOLIAN_VOWEL_SEPARATOR: char = '\u{180e}';

/// Has no glyph, and selects the layout of the characters after it (Unicode Standard, section 18.12).
const KHITAN_FILLER: char = '\u{16fe4}';

/// The flag that a tag sequence turns into the flag of a region.
const BLACK_FLAG: char = '\u{1f3f4}';

const CANCEL_TAG: char = '\u{e007f}';

/// The characters of a subdivision code such as `gbeng`: a region of two letters, and 1 to 4 letters or digits
/// (`unicode_subdivision_id` of UTS 35; no region of digits has subdivisions).
const SUBDIVISION_CHARACTERS: RangeInclusive<usize> = 3..=6;

/// The `Canonical_Combining_Class` of viramas.
const VIRAMA: u8 = 9;

/// Removes the invisible characters that no script or emoji needs. Contexts are the same for canonically equivalent texts, so
/// the result can be normalised.
///
/// Invisible characters are those with the property `Default_Ignorable_Code_Point`, format characters (Unicode category Cf)
/// without `Prepended_Concatenation_Mark`, and the Khitan filler. Some of them change the shape of the characters around
/// them, and these stay where scripts or emoji need them:
///
/// - ZWNJ and ZWJ after a virama, and ZWNJ between letters that would join (RFC 5892, appendices A.1 and A.2); ZWJ before a
///   virama, as in Bengali (Unicode Standard, section 12.2)
/// - ZWJ between emoji (UTS 51, definition ED-16)
/// - a tag sequence that names a region, after U+1F3F4 (ED-14a)
/// - one variation selector after a character with which Unicode defines sequences of that kind: see
///   [`is_variation_base`]
/// - the Mongolian vowel separator after a Mongolian letter
/// - one Egyptian format character after a hieroglyph, and one Khitan filler after a Khitan character
pub(super) fn without_invisible(text: &str) -> impl Iterator<Item = char> {
    let mut before = Before::default();
    text.char_indices().filter_map(move |(start, character)| {
        let after = &text[start + character.len_utf8()..];
        let is_kept = !is_ignorable(character) || before.needs(character, after);
        is_kept.then(|| before.push(character, after))
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
    /// Whether the last characters are a Mongolian letter, and perhaps its variation selector.
    mongolian: bool,
    /// How many tag characters follow that complete the sequence of a flag.
    tags: usize,
    /// The last character, unless it is a combining mark that normalisation may move.
    last: Option<char>,
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
            MONGOLIAN_VOWEL_SEPARATOR => self.mongolian,
            KHITAN_FILLER => self.last.is_some_and(is_khitan),
            _ if is_tag(ignorable) => self.tags > 0,
            _ if is_egyptian(ignorable) => self.last.is_some_and(|last| is_egyptian(last) && is_letter(last)),
            _ => is_variation_selector(ignorable) && self.last.is_some_and(|last| is_variation_base(last, ignorable)),
        }
    }

    fn push(&mut self, character: char, after: &str) -> char {
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
        self.mongolian = is_mongolian_letter(character) || (self.mongolian && is_variation_selector(character));
        self.tags = match character {
            BLACK_FLAG => region_tags(after),
            _ if is_tag(character) => self.tags.saturating_sub(1),
            _ => 0,
        };
        self.last = (class == 0).then_some(character);
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

/// Returns the length of the tag sequence of a region, in characters, if the text starts with one; otherwise 0.
fn region_tags(text: &str) -> usize {
    let Some((tags, _)) = text.split_once(CANCEL_TAG) else { return 0 };
    let mut count = 0;
    for tag in tags.chars() {
        let is_code =
            matches!(tag, '\u{e0061}'..='\u{e007a}') || (count >= 2 && matches!(tag, '\u{e0030}'..='\u{e0039}'));
        if !is_code {
            return 0;
        }
        count += 1;
    }
    if SUBDIVISION_CHARACTERS.contains(&count) { count + 1 } else { 0 }
}

/// Returns whether Unicode defines variation sequences of this kind: emoji and text presentation (UTS 51), variants of
/// ideographs (UTS 37), or `StandardizedVariants.txt`. It includes each base of a script that has such sequences, but no
/// mathematical symbols, punctuation or hieroglyphs.
fn is_variation_base(base: char, selector: char) -> bool {
    match selector {
        '\u{fe0e}' | '\u{fe0f}' => is_pictograph(base) || matches!(base, '0'..='9' | '#' | '*'),
        '\u{fe00}' => is_ideograph(base) || is_myanmar_or_phags_pa(base),
        '\u{fe01}' | '\u{fe02}' | '\u{e0100}'..='\u{e01ef}' => is_ideograph(base),
        '\u{180b}'..='\u{180d}' | '\u{180f}' => is_mongolian_letter(base),
        _ => false,
    }
}

pub(super) fn is_ignorable(character: char) -> bool {
    let is_format = general_category(character) == GeneralCategory::Format
        && !CodePointSetData::new::<PrependedConcatenationMark>().contains(character);
    is_format || character == KHITAN_FILLER || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

fn is_ideograph(character: char) -> bool {
    CodePointSetData::new::<Ideographic>().contains(character)
}

fn is_mongolian_letter(character: char) -> bool {
    matches!(character, '\u{1800}'..='\u{18af}') && is_letter(character)
}

fn is_egyptian(character: char) -> bool {
    matches!(character, '\u{13000}'..='\u{143ff}')
}

fn is_khitan(character: char) -> bool {
    matches!(character, '\u{18b00}'..='\u{18cff}') && is_letter(character)
}

fn is_letter(character: char) -> bool {
    GeneralCategoryGroup::Letter.contains(general_category(character))
}

fn is_myanmar_or_phags_pa(character: char) -> bool {
    matches!(character, '\u{1000}'..='\u{109f}' | '\u{a840}'..='\u{a87f}' | '\u{a9e0}'..='\u{a9ff}' | '\u{aa60}'..='\u{aa7f}')
}

pub(super) fn general_category(character: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(character)
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

#[cfg(test)]
mod tests {
    use crate::model::display_text::{DisplayText, InvalidDisplayText};

    fn parsed(written: &str) -> Result<String, InvalidDisplayText> {
        written.parse().map(|text: DisplayText| text.as_str().to_owned())
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
    fn variation_selector_is_kept_after_a_base_of_its_kind() {
        expect_kept(&[
            // Variants of the ideographs in the names 渡邉 and 神.
            "渡邉\u{e0101}",
            "神\u{fe00}",
            "1\u{fe0f}\u{20e3} #\u{fe0e} ©\u{fe0f} ❤\u{fe0e}",
            // A dotted letter of Khamti, and a letter of Phags-pa.
            "\u{1000}\u{fe00}",
            "\u{a856}\u{fe00}",
            // Mongolian: a variation selector, a vowel separator, and both.
            "ᠨ\u{180b}ᠠ",
            "ᠰᠠᠷ\u{180e}ᠠ",
            "ᠬ\u{180c}\u{180e}ᠠ",
        ]);
        for (written, expected) in [
            ("\u{fe0f}渡\u{e0101}\u{e0102} \u{fe0f}邉", "渡\u{e0101} 邉"),
            ("A\u{fe0f}d\u{e0100}a\u{fe00}\u{180b}\u{180e}", "Ada"),
            ("😀\u{e0101}\u{fe00} 邉\u{fe0f}\u{fe03} ᠰ\u{180e}\u{180e}\u{fe00}", "😀 邉 ᠰ\u{180e}"),
            // After a mark, normalisation could separate it from its base.
            ("1\u{301}\u{fe0f} \u{1000}\u{301}\u{1037}\u{fe00}", "1\u{301} \u{1000}\u{1037}\u{301}"),
        ] {
            assert_eq!(parsed(written).as_deref(), Ok(expected), "{}", written.escape_unicode());
        }
    }

    #[test]
    fn variation_selectors_hide_nothing_after_latin_letters() {
        let selectors = ('\u{fe00}'..='\u{fe0f}').chain('\u{e0100}'..='\u{e01ef}').chain('\u{180b}'..='\u{180f}');
        for selector in selectors {
            assert_eq!(parsed(&format!("A{selector}da")).as_deref(), Ok("Ada"), "{}", selector.escape_unicode());
        }
    }

    #[test]
    fn tags_are_kept_only_in_the_flag_of_a_region() {
        let tags = |text: &str| -> String {
            text.chars().filter_map(|letter| char::from_u32(u32::from(letter) + 0xe0000)).collect()
        };
        let flag = |code: &str| format!("🏴{}\u{e007f}", tags(code));
        for code in ["gbeng", "ustx", "fr75", "gbs", "gbscts"] {
            expect_kept(&[&flag(code), &format!("Ada {}\u{200d}💻", flag(code))]);
        }
        for code in ["", "gb", "gbsctss", "1beng", "gbEng", "gb eng", "gb-eng"] {
            assert_eq!(parsed(&flag(code)).as_deref(), Ok("🏴"), "{code}");
        }
        let (letters, unended) = (tags(&"a".repeat(250)), tags("gbeng"));
        for (written, expected) in [
            (format!("😀{letters}"), "😀"),
            (format!("©{letters}\u{e007f}"), "©"),
            (format!("🏴{letters}\u{e007f}"), "🏴"),
            (format!("🏴{unended} \u{e007f}"), "🏴"),
            (format!("🏴\u{200b}{unended}\u{e007f}"), "🏴"),
            (format!("{}{unended}\u{e007f}", flag("gbeng")), &flag("gbeng")),
        ] {
            assert_eq!(parsed(&written).as_deref(), Ok(expected), "{}", written.escape_unicode());
        }
    }

    #[test]
    fn format_characters_of_a_script_stay_in_that_script() {
        // Hieroglyphs that are joined, and Khitan characters with a filler.
        expect_kept(&["\u{13000}\u{13430}\u{13001}", "\u{18b00}\u{16fe4}\u{18b01}", "\u{600}1"]);

        for invisible in ('\u{fff9}'..='\u{fffb}').chain('\u{13430}'..='\u{1343f}').chain(['\u{16fe4}']) {
            assert_eq!(parsed(&format!("A{invisible}da")).as_deref(), Ok("Ada"), "{}", invisible.escape_unicode());
        }
        let repeated = parsed("\u{13000}\u{13430}\u{13430}\u{13000}\u{13437}\u{13437}\u{18b00}\u{16fe4}\u{16fe4}");
        assert_eq!(repeated.as_deref(), Ok("\u{13000}\u{13430}\u{13000}\u{13437}\u{18b00}\u{16fe4}"));
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
}
