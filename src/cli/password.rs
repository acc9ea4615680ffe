//! The prompt for a new password.

use std::io::{self, BufRead, IsTerminal as _, Read as _};

use zeroize::Zeroizing;

use crate::passwords::Password;

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
}

/// Asks twice for a new password, without echo. Reads it from standard input if that is no terminal.
///
/// # Errors
/// Returns [`NoPassword`] if the two differ, or the input is invalid or unreadable.
pub fn ask() -> Result<Password, NoPassword> {
    let input = io::stdin();
    if !input.is_terminal() {
        return read(&mut input.lock());
    }
    let first = Zeroizing::new(rpassword::prompt_password("Password: ")?);
    let second = Zeroizing::new(rpassword::prompt_password("Once more: ")?);
    let (first, second) = (Password::new(&first), Password::new(&second));
    if first.is_same_as(&second) { Ok(first) } else { Err(NoPassword::Different) }
}

fn read(input: &mut impl BufRead) -> Result<Password, NoPassword> {
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES + 1));
    input.take(MAX_BYTES as u64 + 1).read_to_string(&mut text)?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    let is_one_line = !line.is_empty() && !line.contains('\n') && text.len() <= MAX_BYTES;
    if is_one_line { Ok(Password::new(line)) } else { Err(NoPassword::NotOneLine) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(text: &str) -> Option<Password> {
        read(&mut text.as_bytes()).ok()
    }

    #[test]
    fn password_is_one_line_without_its_line_ending() {
        for text in ["secure_password", "secure_password\n", "secure_password\r\n"] {
            let password = read_from(text).expect("one line");
            assert!(password.is_same_as(&Password::new("secure_password")), "{text:?}");
        }
        assert!(read_from(" padded \n").expect("one line").is_same_as(&Password::new(" padded ")));
    }

    #[test]
    fn empty_multiline_or_endless_input_is_rejected() {
        for text in ["", "\n", "\r\n", "one\ntwo\n", &"x".repeat(20_000)] {
            assert!(read_from(text).is_none(), "{} bytes", text.len());
        }
    }
}
