//! The prompt for a new password.

use std::io::{self, IsTerminal as _, Read};

use zeroize::Zeroizing;

use crate::{
    os::text_files::{NotText, TextFileError, read_text_of},
    passwords::Password,
};

/// The maximum size of the input in bytes: above every valid password, because a code point has at most four bytes and
/// NFC shortens no text to a third.
const MAX_BYTES: usize = 16 * 1024;

/// An error of the prompt.
#[derive(Debug, thiserror::Error)]
pub enum NoPassword {
    /// The two passwords differ.
    #[error("the passwords differ: expected the same password twice")]
    Different,
    /// Standard input is not one line.
    #[error("invalid standard input: expected the password on one line")]
    NotOneLine,
    /// Neither the terminal nor standard input can be read.
    #[error("failed to read the password: {0}")]
    Unreadable(#[from] io::Error),
    /// Standard input is not UTF-8.
    #[error("invalid standard input: {0}")]
    NotText(#[from] NotText),
}

impl From<TextFileError> for NoPassword {
    fn from(error: TextFileError) -> Self {
        match error {
            TextFileError::Io(error) => Self::Unreadable(error),
            TextFileError::NotText(error) => Self::NotText(error),
        }
    }
}

/// Asks twice for a new password, without echo. Reads it from standard input if that is no terminal.
///
/// # Errors
/// Returns [`NoPassword`] if the two differ, or the input is invalid or unreadable.
pub fn ask() -> Result<Password, NoPassword> {
    let input = io::stdin();
    if !input.is_terminal() {
        return read(input.lock());
    }
    let first = Zeroizing::new(rpassword::prompt_password("Password: ")?);
    let second = Zeroizing::new(rpassword::prompt_password("Once more: ")?);
    let (first, second) = (Password::new(&first), Password::new(&second));
    if first.is_same_as(&second) { Ok(first) } else { Err(NoPassword::Different) }
}

/// Reads a password without its line end (LF, CR LF or CR). White space at its ends belongs to it.
fn read(input: impl Read) -> Result<Password, NoPassword> {
    let text = read_text_of(input.take(MAX_BYTES as u64 + 1), MAX_BYTES + 1)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let is_one_line = !line.is_empty() && !line.contains(['\n', '\r']) && text.len() <= MAX_BYTES;
    if is_one_line { Ok(Password::new(line)) } else { Err(NoPassword::NotOneLine) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(text: &str) -> Option<Password> {
        read(text.as_bytes()).ok()
    }

    #[test]
    fn password_is_one_line_without_its_line_ending() {
        for text in ["secure_password", "secure_password\n", "secure_password\r\n", "secure_password\r"] {
            let password = read_from(text).expect("one line");
            assert!(password.is_same_as(&Password::new("secure_password")), "{text:?}");
        }
        for text in [" padded \n", "\u{feff} padded \r\n"] {
            assert!(read_from(text).expect("one line").is_same_as(&Password::new(" padded ")), "{text:?}");
        }
    }

    #[test]
    fn empty_multiline_or_endless_input_is_rejected() {
        for text in ["", "\n", "\r\n", "\u{feff}\n", "one\ntwo\n", "one\rtwo", "one\n\n", &"x".repeat(20_000)] {
            assert!(read_from(text).is_none(), "{} bytes", text.len());
        }
    }

    #[test]
    fn utf_16_is_rejected_with_the_expected_encoding() {
        let utf_16: Vec<u8> = "\u{feff}secure_password\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for content in [&utf_16, &utf_16[2..]] {
            let error = read(content).expect_err("UTF-16").to_string();
            assert!(error.starts_with("invalid standard input: the encoding is UTF-16LE: expected UTF-8"), "{error}");
        }
    }
}
