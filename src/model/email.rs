//! Email addresses, which users log in with.

use std::{fmt, str::FromStr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// The longest address, in characters (RFC 5321, section 4.5.3.1.3, without the angle brackets of its path; erratum
/// 1690 of RFC 3696).
pub const MAX_CHARACTERS: usize = 254;

/// A normalised email address: trimmed, in lower case, its domain in A-labels. Two spellings of one address are equal.
///
/// ```
/// use postern::model::Email;
///
/// let email: Email = " Ada@BÜCHER.example ".parse()?;
/// assert_eq!(email.as_str(), "ada@xn--bcher-kva.example");
/// # Ok::<(), postern::model::InvalidEmail>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// Returns the normalised address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses the address of an account that may have been imported: as [`Email::from_str`] does or, if that rejects it,
    /// trimmed and in lower case (`admin@localhost`, `"ada"@example.org`). It consists of graphic ASCII characters, because
    /// response headers contain it.
    ///
    /// # Errors
    /// Returns [`InvalidEmail`] if the text is not such an address.
    pub fn of_existing_account(written: &str) -> Result<Self, InvalidEmail> {
        written.parse().or_else(|strict: InvalidEmail| {
            let trimmed = written.trim();
            let is_whole =
                trimmed.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
            let is_kept =
                is_whole && trimmed.len() <= MAX_CHARACTERS && trimmed.bytes().all(|byte| byte.is_ascii_graphic());
            if is_kept { Ok(Self(trimmed.to_ascii_lowercase())) } else { Err(strict) }
        })
    }

    /// Wraps an address that a store kept. The caller guarantees that [`Email::as_str`] returned it.
    #[must_use]
    pub fn from_store(stored: String) -> Self {
        Self(stored)
    }
}

/// Prints only the domain, because a log must not contain whole addresses.
impl fmt::Debug for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = self.0.rsplit_once('@').map_or("", |(_, domain)| domain);
        write!(formatter, "Email(…@{domain})")
    }
}

/// The reason why a text is not a valid email address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmail {
    /// Longer than [`MAX_CHARACTERS`], before or after normalisation.
    #[error("expected an email address of at most {MAX_CHARACTERS} characters")]
    TooLong,
    /// Not of the form `local@domain.tld`.
    #[error("expected an email address of the form local@domain.tld")]
    Malformed,
}

impl FromStr for Email {
    type Err = InvalidEmail;

    /// Parses `local@domain.tld`: an ASCII dot-atom (RFC 5322, section 3.2.3; no quoted string) and a domain of at least
    /// two labels (no address literal), which UTS 46 converts to A-labels.
    fn from_str(written: &str) -> Result<Self, InvalidEmail> {
        let trimmed = written.trim();
        if trimmed.chars().count() > MAX_CHARACTERS {
            return Err(InvalidEmail::TooLong);
        }
        let (local, domain) = trimmed.rsplit_once('@').ok_or(InvalidEmail::Malformed)?;
        if !is_dot_atom(local) {
            return Err(InvalidEmail::Malformed);
        }
        let domain = a_labels(domain).ok_or(InvalidEmail::Malformed)?;
        let normalised = format!("{}@{domain}", local.to_ascii_lowercase());
        if normalised.len() > MAX_CHARACTERS {
            return Err(InvalidEmail::TooLong);
        }
        Ok(Self(normalised))
    }
}

fn is_dot_atom(local: &str) -> bool {
    let is_atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

fn a_labels(domain: &str) -> Option<String> {
    let ascii = Uts46::new()
        .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .ok()?;
    let (_, top_level) = ascii.rsplit_once('.')?;
    // A numeric last label would make the domain an IPv4 address (WHATWG URL, "ends in a number").
    (!top_level.bytes().all(|byte| byte.is_ascii_digit())).then(|| ascii.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(written: &str) -> Result<String, InvalidEmail> {
        written.parse::<Email>().map(|email| email.as_str().to_owned())
    }

    #[test]
    fn address_is_trimmed_and_lower_cased() {
        assert_eq!(parsed("\t Ada.Lovelace+notes@Example.ORG "), Ok("ada.lovelace+notes@example.org".to_owned()));
    }

    #[test]
    fn domain_equals_its_a_labels() {
        assert_eq!(parsed("ada@bücher.example"), parsed("ada@xn--bcher-kva.example"));
    }

    #[test]
    fn malformed_address_is_rejected() {
        for written in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.org",
            "ada@example",
            "ada@.org",
            "ada@example.",
            "ada@example..org",
            ".ada@example.org",
            "ada.@example.org",
            "a..da@example.org",
            "a da@example.org",
            "ada@exa mple.org",
            "\"ada\"@example.org",
            "ada@[127.0.0.1]",
            "ada@127.0.0.1",
            "ada@-example.org",
            "ada@example-.org",
            "ada@exa_mple.org",
            "ada\u{0}@example.org",
            "ada@example.org\n.com",
            "adä@example.org",
            "a@b@example.org",
        ] {
            assert_eq!(parsed(written), Err(InvalidEmail::Malformed), "{written:?}");
        }
    }

    #[test]
    fn address_of_an_imported_account_may_be_malformed() {
        let existing = |written| Email::of_existing_account(written).map(|email| email.as_str().to_owned());

        for (written, kept) in [
            (" Ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
            (" Admin@LocalHost ", "admin@localhost"),
            ("a..da@Example.org", "a..da@example.org"),
            ("\"Ada\"@example.org", "\"ada\"@example.org"),
            ("ada@[127.0.0.1]", "ada@[127.0.0.1]"),
        ] {
            assert_eq!(existing(written), Ok(kept.to_owned()), "{written}");
            assert_eq!(existing(kept), Ok(kept.to_owned()), "{kept}");
        }
        for written in
            ["", " ", "ada", "@", "ada@", "@localhost", "a da@localhost", "adä@localhost", "ada@localhost\n.x"]
        {
            assert_eq!(existing(written), Err(InvalidEmail::Malformed), "{written:?}");
        }
        assert_eq!(existing(&format!("{}@localhost", "a".repeat(245))), Err(InvalidEmail::TooLong));
    }

    #[test]
    fn address_has_at_most_254_characters() {
        let local = "a".repeat(MAX_CHARACTERS - "@example.org".len());

        assert!(parsed(&format!("{local}@example.org")).is_ok());
        assert_eq!(parsed(&format!("a{local}@example.org")), Err(InvalidEmail::TooLong));
    }

    #[test]
    fn debug_text_hides_the_local_part() {
        let email: Email = "ada@example.org".parse().expect("a valid address");

        assert_eq!(format!("{email:?}"), "Email(…@example.org)");
    }

    proptest! {
        #[test]
        fn normalised_address_is_its_own_normal_form(written in "\\PC{1,12}@(\\PC{1,8}\\.){1,2}[a-zA-Zü]{2,5}") {
            if let Ok(once) = parsed(&written) {
                prop_assert_eq!(parsed(&once), Ok(once));
            }
        }

        #[test]
        fn accepted_address_is_printable_lower_case_ascii(
            local in r#"[a-z.+_-]{0,3}[\x00-\x20"(),:;<>@\[\]\x7fé.A-Z]?[a-z0-9]{1,3}"#,
            labels in prop::collection::vec("[A-Za-z0-9üßÅ中\u{ad}-]{1,8}|[a-z\u{200d}_]{1,64}", 1..6),
            around in "[ \t\r\n\u{3000}]{0,2}",
        ) {
            let written = format!("{around}{local}@{}{around}", labels.join("."));
            if let Ok(address) = parsed(&written) {
                prop_assert!(address.len() <= MAX_CHARACTERS);
                prop_assert!(address.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
                prop_assert_eq!(address.matches('@').count(), 1);
                prop_assert_eq!(parsed(&address), Ok(address));
            }
        }

        #[test]
        fn plain_address_is_accepted_in_any_case(
            local in "[a-z0-9]{1,12}(\\.[a-z0-9]{1,12}){0,2}",
            domain in "([a-z0-9]{1,20}\\.){1,3}[a-z]{2,6}",
        ) {
            let address = format!("{local}@{domain}");

            prop_assert_eq!(parsed(&address.to_ascii_uppercase()), Ok(address));
        }
    }
}
