//! Text that people write into settings and files.

use super::{
    escape::{is_bidi_formatting, is_line_control},
    invisible::without_invisible,
};

/// Mark at the beginning of a text, which some editors write.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Returns the text without white space at its ends (Unicode property `White_Space`, which includes line ends and no-break
/// spaces), and without one leading byte-order mark.
#[must_use]
pub fn trimmed(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix(BYTE_ORDER_MARK).map_or(text, str::trim)
}

/// Returns whether all characters of the text are visible in an editor: no line breaks, no other control characters, no
/// bidirectional controls and no invisible characters that no script or emoji needs. U+FFFD, which replaces what is not
/// UTF-8, is not plain either.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    let is_refused = |character| {
        is_line_control(character) || is_bidi_formatting(character) || character == char::REPLACEMENT_CHARACTER
    };
    !text.contains(is_refused) && (text.is_ascii() || without_invisible(text).eq(text.chars()))
}

/// Returns the text with each character escaped that is not plain by itself, as in `\u{d}`: for messages that repeat what
/// somebody wrote.
#[must_use]
pub fn escape_invisible(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_plain(character.encode_utf8(&mut [0; 4])) {
            escaped.push(character);
        } else {
            escaped.extend(character.escape_unicode());
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_trimmed_of_unicode_white_space() {
        for end in ["", "\n", "\r\n", "\r", " ", "\t", "\u{a0}", "\u{85}", "\u{2028}", "\u{3000}", "\u{b}\u{c}"] {
            assert_eq!(trimmed(&format!("{end}a b{end}")), "a b", "{end:?}");
            assert_eq!(trimmed(end), "", "{end:?}");
        }
    }

    #[test]
    fn one_leading_byte_order_mark_is_removed() {
        for (text, expected) in [
            ("\u{feff}a", "a"),
            ("\u{feff}\r\na\n", "a"),
            (" \u{feff}a", "a"),
            ("\u{feff}", ""),
            ("\u{feff}\u{feff}a", "\u{feff}a"),
            ("a\u{feff}", "a\u{feff}"),
        ] {
            assert_eq!(trimmed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn escaped_text_is_plain() {
        let text = "Zoë\u{feff}\r\n\u{1b}[31m\u{202e}\u{200b}é";
        let escaped = escape_invisible(text);

        assert_eq!(escaped, "Zoë\\u{feff}\\u{d}\\u{a}\\u{1b}[31m\\u{202e}\\u{200b}é");
        assert!(is_plain(&escaped));
    }

    #[test]
    fn control_and_invisible_characters_are_not_plain() {
        for character in [
            '\0', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{2028}', '\u{202e}', '\u{2066}',
            '\u{200b}', '\u{200f}', '\u{feff}', '\u{fffd}', '\u{ad}',
        ] {
            assert!(!is_plain(&format!("a{character}b")), "{character:?}");
            assert!(!is_plain(&format!("ä{character}b")), "{character:?}");
        }
        for text in ["", "a b", "https://id.example.org/?a=b&c=%0A", "Zoë 👩‍💻 مرحبا", "a\u{a0}b"] {
            assert!(is_plain(text), "{text:?}");
        }
    }
}
