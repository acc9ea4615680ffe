//! References to users.

use std::{fmt, str::FromStr};

use crate::model::{Email, UserId};

/// A reference to a user by email or id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    /// The user with this email.
    Email(Email),
    /// The user with this id.
    Id(UserId),
}

impl FromStr for UserRef {
    type Err = InvalidUserRef;

    fn from_str(text: &str) -> Result<Self, InvalidUserRef> {
        if text.contains('@') {
            return Email::of_existing_account(text).map(Self::Email).map_err(|_| InvalidUserRef);
        }
        text.trim().parse().map(|id| Self::Id(UserId(id))).map_err(|_| InvalidUserRef)
    }
}

/// Writes the normalised email, or the id.
impl fmt::Display for UserRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(email) => formatter.write_str(email.as_str()),
            Self::Id(id) => id.fmt(formatter),
        }
    }
}

/// The text is neither an email nor an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an email address or a user id")]
pub struct InvalidUserRef;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ref_is_an_email_or_an_id() {
        let id = UserId::new(time::OffsetDateTime::UNIX_EPOCH);

        assert_eq!(id.to_string().parse(), Ok(UserRef::Id(id)));
        assert_eq!(" Ada@Example.org".parse(), Ok(UserRef::Email("ada@example.org".parse().expect("an address"))));
        for text in ["", "ada", "ada@", "0197"] {
            assert_eq!(text.parse::<UserRef>(), Err(InvalidUserRef), "{text}");
        }
    }
}
