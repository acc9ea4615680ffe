//! Pages of users, for administrators.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;

use super::{
    display_text::DisplayText,
    email::{Email, MAX_CHARACTERS as MAX_EMAIL_CHARACTERS},
    id::UserId,
    name::Name,
    user::{AccountStatus, Role, User},
};

/// A query for a page of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPageQuery {
    /// Which users, in which order.
    pub order: UserOrder,
    /// Only users that match.
    pub filter: UserFilter,
    /// Only users after this position, in the order of the query.
    pub after: Option<UserCursor>,
    /// The maximum number of users: 1 to [`MAX_PAGE`].
    pub limit: u32,
}

/// The maximum number of users or events on a page.
pub const MAX_PAGE: u32 = 200;

/// Which users a page consists of, and in which order. Each order is that of an index, so a page takes as long with ten
/// million users as with ten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserOrder {
    /// All users, by the time of their sign-up.
    Created(Direction),
    /// All users, by email.
    Email(Direction),
    /// All users, by their last login; those who have never logged in come last, by the time of their sign-up.
    LastLogin(Direction),
    /// The user with this email.
    ExactEmail(Email),
    /// The users whose email begins with this text, by email. Emails are in lower case, so the text is too.
    EmailPrefix(String),
    /// The users of whose name one of the first eight words begins with this text, by word. The case of ASCII letters is
    /// ignored. Only the first 64 characters of a word are searched. A word contains no space and no hyphen, so a text with one of
    /// them finds nobody.
    WordPrefix(String),
}

/// The maximum number of characters of a word that are searched.
pub const MAX_WORD_CHARACTERS: usize = 64;

impl UserOrder {
    /// Returns the order of users whose email begins with a text, or `None` if no email does: it is empty, longer than an
    /// email, or has other characters than visible ASCII. Stored emails are in lower case, their domains in A-labels.
    #[must_use]
    pub fn email_prefix(text: &str) -> Option<Self> {
        let is_valid =
            (1..=MAX_EMAIL_CHARACTERS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_valid.then(|| Self::EmailPrefix(text.to_ascii_lowercase()))
    }

    /// Returns the order of users of whose name a word begins with a text, which is normalised as names are, or `None` if it
    /// cannot be the beginning of one word of at most [`MAX_WORD_CHARACTERS`] characters.
    #[must_use]
    pub fn word_prefix(text: &str) -> Option<Self> {
        let word = text.parse::<DisplayText>().ok()?.as_str().to_ascii_lowercase();
        let is_word = (1..=MAX_WORD_CHARACTERS).contains(&word.chars().count()) && !word.contains([' ', '-']);
        is_word.then_some(Self::WordPrefix(word))
    }
}

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The lowest or oldest first.
    Ascending,
    /// The highest or newest first.
    Descending,
}

/// Conditions on users. The default is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// Only users with this status.
    pub status: Option<AccountStatus>,
    /// Only users with this role.
    pub role: Option<Role>,
    /// Only users who signed up at this time or later.
    pub created_from: Option<OffsetDateTime>,
    /// Only users who signed up before this time.
    pub created_before: Option<OffsetDateTime>,
}

impl UserFilter {
    /// Returns whether a user matches.
    #[must_use]
    pub fn accepts(&self, user: &UserSummary) -> bool {
        self.status.is_none_or(|status| user.status == status)
            && self.role.is_none_or(|role| user.role == role)
            && self.created_from.is_none_or(|from| user.created >= from)
            && self.created_before.is_none_or(|before| user.created < before)
    }
}

/// A user, as administrators see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSummary {
    /// The id.
    pub id: UserId,
    /// The email.
    pub email: Email,
    /// Whether the email is verified.
    pub email_verified: bool,
    /// The name.
    pub name: Name,
    /// The status.
    pub status: AccountStatus,
    /// The role.
    pub role: Role,
    /// Whether the user has a password.
    pub has_password: bool,
    /// When the user signed up.
    pub created: OffsetDateTime,
    /// The last login or sign-up, to the minute; `None` if there was none since it is recorded.
    pub last_login: Option<OffsetDateTime>,
}

impl UserSummary {
    /// Returns the summary of a user who last logged in at `last_login`.
    #[must_use]
    pub fn of(user: &User, last_login: Option<OffsetDateTime>) -> Self {
        Self {
            id: user.id,
            email: user.email.clone(),
            email_verified: user.email_verified,
            name: user.name.clone(),
            status: user.status,
            role: user.role,
            has_password: user.password.is_some(),
            created: user.created,
            last_login,
        }
    }
}

/// A page of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPage {
    /// The users: at most as many as the query allows. There may be fewer, and even none, although others follow: a page
    /// examines a limited number of index entries.
    pub users: Vec<UserSummary>,
    /// The position after which the next page begins; `None` if no user follows.
    pub next: Option<UserCursor>,
}

/// The position of a user in a [`UserOrder`]. It stays valid if the user changes or is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCursor {
    /// The value by which the order sorts.
    pub key: CursorKey,
    /// The user's id, which orders users with the same value.
    pub id: UserId,
}

/// The value by which a [`UserOrder`] sorts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CursorKey {
    /// Of [`UserOrder::Created`], in whole microseconds.
    Created(OffsetDateTime),
    /// Of [`UserOrder::Email`] and [`UserOrder::EmailPrefix`].
    Email(String),
    /// Of [`UserOrder::LastLogin`], in whole microseconds.
    LastLogin(OffsetDateTime),
    /// Of [`UserOrder::LastLogin`], among users who have never logged in: the time of the sign-up, in whole microseconds.
    NeverLoggedIn(OffsetDateTime),
    /// Of [`UserOrder::WordPrefix`].
    Word(String),
}

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the cursor of a previous page")]
pub struct InvalidCursor;

impl UserCursor {
    /// Returns whether the cursor is one of this order.
    #[must_use]
    pub fn fits(&self, order: &UserOrder) -> bool {
        match &self.key {
            CursorKey::Created(_) => matches!(order, UserOrder::Created(_)),
            CursorKey::Email(email) => match order {
                UserOrder::Email(_) => true,
                UserOrder::EmailPrefix(prefix) => email.starts_with(&prefix.to_lowercase()),
                _ => false,
            },
            CursorKey::LastLogin(_) | CursorKey::NeverLoggedIn(_) => matches!(order, UserOrder::LastLogin(_)),
            CursorKey::Word(word) => {
                matches!(order, UserOrder::WordPrefix(prefix) if word.starts_with(&prefix.to_ascii_lowercase()))
            }
        }
    }
}

/// Writes base64url: a letter for the order, the id (16 bytes), and the value: microseconds since 1970 (8 bytes) or a text.
impl fmt::Display for UserCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (order, value) = match &self.key {
            CursorKey::Created(time) => (b'c', microseconds(*time).to_vec()),
            CursorKey::Email(text) => (b'e', text.as_bytes().to_vec()),
            CursorKey::LastLogin(time) => (b'l', microseconds(*time).to_vec()),
            CursorKey::NeverLoggedIn(time) => (b'n', microseconds(*time).to_vec()),
            CursorKey::Word(text) => (b'w', text.as_bytes().to_vec()),
        };
        let bytes = [&[order], self.id.0.as_bytes().as_slice(), &value].concat();
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for UserCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let (order, rest) = bytes.split_first().ok_or(InvalidCursor)?;
        let (id, value) = rest.split_first_chunk::<16>().ok_or(InvalidCursor)?;
        let time = || <[u8; 8]>::try_from(value).ok().and_then(from_microseconds).ok_or(InvalidCursor);
        // No stored text contains NUL, and PostgreSQL accepts none that does.
        let text = || {
            str::from_utf8(value).ok().filter(|text| !text.contains('\0')).map(ToOwned::to_owned).ok_or(InvalidCursor)
        };
        let key = match order {
            b'c' => CursorKey::Created(time()?),
            b'e' => CursorKey::Email(text()?),
            b'l' => CursorKey::LastLogin(time()?),
            b'n' => CursorKey::NeverLoggedIn(time()?),
            b'w' => CursorKey::Word(text()?),
            _ => return Err(InvalidCursor),
        };
        Ok(Self { key, id: UserId(uuid::Uuid::from_bytes(*id)) })
    }
}

fn microseconds(time: OffsetDateTime) -> [u8; 8] {
    let microseconds = i64::try_from(time.unix_timestamp_nanos() / 1_000);
    microseconds
        .unwrap_or_else(|_| unreachable!("the microseconds of all years in range fit into 64 bits"))
        .to_be_bytes()
}

fn from_microseconds(bytes: [u8; 8]) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(i64::from_be_bytes(bytes)) * 1_000).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times() -> impl Strategy<Value = OffsetDateTime> {
        // From the first microsecond of the year -9999 to the last of 9999.
        (-377_705_116_800_000_000_i64..=253_402_300_799_999_999)
            .prop_map(|microseconds| from_microseconds(microseconds.to_be_bytes()).expect("a time in range"))
    }

    fn keys() -> impl Strategy<Value = CursorKey> {
        prop_oneof![
            times().prop_map(CursorKey::Created),
            "[^\0]{0,300}".prop_map(CursorKey::Email),
            times().prop_map(CursorKey::LastLogin),
            times().prop_map(CursorKey::NeverLoggedIn),
            "[^\0]{0,64}".prop_map(CursorKey::Word),
        ]
    }

    proptest! {
        #[test]
        fn cursor_text_round_trips(key in keys(), id in any::<[u8; 16]>()) {
            let cursor = UserCursor { key, id: UserId(uuid::Uuid::from_bytes(id)) };

            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn cursor_has_one_text(key in keys(), id in any::<[u8; 16]>(), end in "[A-Za-z0-9_=-]|.{0,2}") {
            let text = UserCursor { key, id: UserId(uuid::Uuid::from_bytes(id)) }.to_string();
            let text = format!("{}{end}", &text[..text.len() - 1]);

            if let Ok(cursor) = text.parse::<UserCursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }

        #[test]
        fn garbage_is_no_cursor_or_one_with_this_text(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = URL_SAFE_NO_PAD.encode(bytes);

            if let Ok(cursor) = text.parse::<UserCursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[test]
    fn other_text_is_not_a_cursor() {
        let encoded = |order: u8, value: &[u8]| URL_SAFE_NO_PAD.encode([&[order], [7; 16].as_slice(), value].concat());
        for text in [
            String::new(),
            "AAAA".to_owned(),
            "%".to_owned(),
            encoded(b'x', b"ada"),
            encoded(b'c', &[0; 7]),
            encoded(b'c', &[0; 9]),
            encoded(b'l', &[0x7f; 8]),
            encoded(b'e', &[0xff]),
            encoded(b'w', b"a\0b"),
        ] {
            assert_eq!(text.parse::<UserCursor>(), Err(InvalidCursor), "{text}");
        }
    }

    #[test]
    fn cursor_fits_the_orders_that_sort_by_its_value() {
        let cursor = |key| UserCursor { key, id: UserId(uuid::Uuid::max()) };
        let (email, word) = (CursorKey::Email("ada@x.org".to_owned()), CursorKey::Word("ada".to_owned()));
        let never = CursorKey::NeverLoggedIn(OffsetDateTime::UNIX_EPOCH);

        assert!(cursor(email.clone()).fits(&UserOrder::Email(Direction::Descending)));
        assert!(cursor(email.clone()).fits(&UserOrder::EmailPrefix("Ada@".to_owned())));
        assert!(!cursor(email.clone()).fits(&UserOrder::EmailPrefix("b".to_owned())));
        assert!(!cursor(email).fits(&UserOrder::Created(Direction::Ascending)));
        assert!(cursor(word.clone()).fits(&UserOrder::WordPrefix("AD".to_owned())));
        assert!(!cursor(word).fits(&UserOrder::WordPrefix("b".to_owned())));
        assert!(cursor(never.clone()).fits(&UserOrder::LastLogin(Direction::Ascending)));
        assert!(!cursor(never).fits(&UserOrder::Created(Direction::Ascending)));
    }
}
