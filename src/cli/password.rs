//! Asking for a new password.

use std::io::{self, BufRead, IsTerminal as _, Read as _};

use zeroize::Zeroizing;

use crate::passwords::Password;

/// More than any password has, in bytes: no code point takes more than four, and NFC shortens none to a third.
const MAX_BYTES: usize = 16 * 1024;

/// Why there is no new password.
#[derive(Debug, thiserror::Error)]
pub enum NoPassword {
    /// Two different ones were typed.
    #[error("the two passwords are not the same")]
    Different,
    /// Standard input does not hold one line.
    #[error("standard input must hold the password, in one line")]
    NotOneLine,
    /// Neither terminal nor standard input can be read.
    #[error("the password cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// A new password: asked for twice, without echo, or read from standard input where that is no terminal.
///
/// # Errors
/// Where there is none.
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
    fn a_password_is_one_line_and_its_end_is_not_part_of_it() {
        for text in ["secure_password", "secure_password\n", "secure_password\r\n"] {
            let password = read_from(text).expect("one line");
            assert!(password.is_same_as(&Password::new("secure_password")), "{text:?}");
        }
        assert!(read_from(" padded \n").expect("one line").is_same_as(&Password::new(" padded ")));
    }

    #[test]
    fn no_line_two_lines_or_an_endless_one_is_no_password() {
        for text in ["", "\n", "\r\n", "one\ntwo\n", &"x".repeat(20_000)] {
            assert!(read_from(text).is_none(), "{} bytes", text.len());
        }
    }
}
