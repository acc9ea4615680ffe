//! Ids of users and sessions, and the epochs of users.

use std::{fmt, str::FromStr};

use time::OffsetDateTime;
use uuid::{NoContext, Timestamp, Uuid, fmt::Hyphenated};

/// The id of a user, never reused: a UUIDv7 (RFC 9562, section 5.7), so that rows are inserted in the order of their key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserId(pub Uuid);

impl UserId {
    /// Returns a new id for a user that signs up at `time`.
    ///
    /// # Panics
    /// Panics if the operating system has no random bytes.
    #[must_use]
    pub fn new(time: OffsetDateTime) -> Self {
        let seconds = u64::try_from(time.unix_timestamp()).unwrap_or_default();
        Self(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, time.nanosecond())))
    }
}

impl FromStr for UserId {
    type Err = uuid::Error;

    /// Parses the hyphenated form of a UUID, and no other form.
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(|id: Hyphenated| Self(id.into_uuid()))
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The id of a session, never reused: a UUIDv4 (RFC 9562, section 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub Uuid);

impl SessionId {
    /// Returns a new id.
    ///
    /// # Panics
    /// Panics if the operating system has no random bytes.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl FromStr for SessionId {
    type Err = uuid::Error;

    /// Parses the hyphenated form of a UUID, and no other form.
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(|id: Hyphenated| Self(id.into_uuid()))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The epoch of a user: 64 random bits. Each session stores the epoch of its login, and a new epoch ends all of them at
/// once. Epochs are compared for equality only.
///
/// It is not a counter: a store that is restored from a backup could count to the same number again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub i64);

impl Epoch {
    /// Returns a new epoch.
    ///
    /// # Panics
    /// Panics if the operating system has no random bytes.
    #[must_use]
    pub fn random() -> Self {
        Self(getrandom::u64().expect("the operating system has random bytes once it has started").cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn user_id_is_a_unique_uuid_version_7_of_its_time() {
        let time = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);

        let (first, second) = (UserId::new(time), UserId::new(time));

        assert_eq!(first.0.get_version_num(), 7);
        let seconds = first.0.get_timestamp().expect("a time").to_unix().0;
        assert_eq!(seconds, 20_000 * 86_400);
        assert_ne!(first, second);
    }

    #[test]
    fn session_id_is_a_unique_uuid_version_4() {
        assert_eq!(SessionId::random().0.get_version_num(), 4);
        assert_ne!(SessionId::random(), SessionId::random());
    }

    #[test]
    fn epochs_are_unique() {
        assert_ne!(Epoch::random(), Epoch::random());
    }

    proptest! {
        #[test]
        fn session_id_is_parsed_only_from_its_hyphenated_form(id in any::<u128>()) {
            let id = SessionId(Uuid::from_u128(id));

            for text in [id.to_string(), id.to_string().to_uppercase()] {
                prop_assert_eq!(text.parse(), Ok(id));
            }
            let (simple, braced, urn) = (id.0.simple(), id.0.braced(), id.0.urn());
            for text in [simple.to_string(), braced.to_string(), urn.to_string(), format!("{id} "), format!("{id}0")] {
                prop_assert!(text.parse::<SessionId>().is_err(), "{}", text);
            }
        }
    }
}
