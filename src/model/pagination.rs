//! Queries for users, a page at a time.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{id::UserId, user::User};

/// A query for users, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserQuery {
    /// Only users with this text in their email or name. The case of ASCII letters is ignored.
    pub search: Option<String>,
    /// Only users after this one: the last user of the previous page.
    pub after: Option<Cursor>,
    /// The maximum number of users.
    pub limit: u32,
}

/// The position after a user in the list of users. It stays valid if the user is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The time when the user signed up, in whole microseconds.
    pub created: OffsetDateTime,
    /// The user's id, which orders users of the same time.
    pub id: UserId,
}

impl Cursor {
    /// Returns the position after a user.
    #[must_use]
    pub fn after(user: &User) -> Self {
        Self { created: user.created, id: user.id }
    }
}

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the cursor of a previous page")]
pub struct InvalidCursor;

/// Writes 32 characters of base64url: microseconds since 1970 (8 bytes) and the id (16 bytes).
impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let microseconds = i64::try_from(self.created.unix_timestamp_nanos() / 1_000)
            .unwrap_or_else(|_| unreachable!("the microseconds of all years in range fit into 64 bits"));
        let bytes = [microseconds.to_be_bytes().as_slice(), self.id.0.as_bytes()].concat();
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let (microseconds, id) = bytes.split_first_chunk().ok_or(InvalidCursor)?;
        let nanoseconds = i128::from(i64::from_be_bytes(*microseconds)) * 1_000;
        let created = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).map_err(|_| InvalidCursor)?;
        Ok(Self { created, id: UserId(Uuid::from_slice(id).map_err(|_| InvalidCursor)?) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cursor_text_round_trips() {
        for microseconds in [0_i64, -1, 1_795_000_000_123_456] {
            let created = OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(microseconds);
            let cursor = Cursor { created, id: UserId::new(created.max(OffsetDateTime::UNIX_EPOCH)) };

            assert_eq!(cursor.to_string().parse(), Ok(cursor));
            assert_eq!(cursor.to_string().len(), 32);
        }
    }

    #[test]
    fn other_text_is_not_a_cursor() {
        let far = URL_SAFE_NO_PAD.encode([[0x7f; 8].as_slice(), &[0; 16]].concat());
        for text in ["", "AAAA", "%", &far, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text}");
        }
    }

    proptest! {
        #[test]
        fn cursor_has_one_text(bytes in any::<[u8; 23]>(), end in "[A-Za-z0-9_-]|.{0,2}") {
            // The first byte is 0, because most 64-bit numbers of microseconds are outside the range of years.
            let text = URL_SAFE_NO_PAD.encode([[0].as_slice(), &bytes].concat());
            let text = format!("{}{end}", &text[..text.len() - 1]);

            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }
}
