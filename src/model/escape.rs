//! Escapes control characters in text that others supplied, before it is logged, stored or printed.

use std::fmt::Write as _;

/// How [`escape_control`] writes a control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlEscape {
    /// As in JSON, `\u000a`: for log lines and JSON, whose content stays the same.
    Json,
    /// As in Rust, `\u{202e}`: for terminals.
    Rust,
    /// As U+FFFD: for stored text. PostgreSQL stores no NUL.
    Replacement,
}

/// Returns `text` with its control characters escaped, so that it is one line and cannot control a terminal.
///
/// Control characters are Unicode category Cc, the line and paragraph separators, and the bidirectional controls, which can
/// make one text look like another (Unicode Technical Report 36, section 2.4).
#[must_use]
pub fn escape_control(text: &str, escape: ControlEscape) -> String {
    let must_escape = |character| is_line_control(character) || is_bidi(character);
    let mut escaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((start, character)) = rest.char_indices().find(|(_, character)| must_escape(*character)) {
        escaped.push_str(&rest[..start]);
        let written = match escape {
            ControlEscape::Json => write!(escaped, "\\u{:04x}", u32::from(character)),
            ControlEscape::Rust => write!(escaped, "{}", character.escape_unicode()),
            ControlEscape::Replacement => escaped.write_char(char::REPLACEMENT_CHARACTER),
        };
        written.unwrap_or_else(|_| unreachable!("writing to a string does not fail"));
        rest = &rest[start + character.len_utf8()..];
    }
    escaped.push_str(rest);
    escaped
}

/// Returns whether the character is of Unicode category Cc, or a line or paragraph separator.
pub(super) fn is_line_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Returns whether the character is a bidirectional embedding, override or isolate.
pub(super) fn is_bidi_formatting(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_bidi(character: char) -> bool {
    is_bidi_formatting(character) || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Zoë\n\u{1b}[31m\0\u{85}\u{2028}\u{202e}x\u{200f} \"👩\"\\";

    #[test]
    fn json_escape_covers_bidi_controls() {
        let expected = "Zoë\\u000a\\u001b[31m\\u0000\\u0085\\u2028\\u202ex\\u200f \"👩\"\\";
        assert_eq!(escape_control(TEXT, ControlEscape::Json), expected);
    }

    #[test]
    fn rust_escape_covers_bidi_controls() {
        let expected = "Zoë\\u{a}\\u{1b}[31m\\u{0}\\u{85}\\u{2028}\\u{202e}x\\u{200f} \"👩\"\\";
        assert_eq!(escape_control(TEXT, ControlEscape::Rust), expected);
    }

    #[test]
    fn replacement_writes_one_character_for_each() {
        let expected = "Zoë��[31m����x� \"👩\"\\";
        assert_eq!(escape_control(TEXT, ControlEscape::Replacement), expected);
    }

    #[test]
    fn text_without_control_characters_is_unchanged() {
        for escape in [ControlEscape::Json, ControlEscape::Rust, ControlEscape::Replacement] {
            assert_eq!(escape_control("Zoë 👩‍💻 مرحبا", escape), "Zoë 👩‍💻 مرحبا");
        }
    }
}
