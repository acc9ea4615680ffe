//! What identifies users and sessions, and the epoch that ends them.

use std::{fmt, str::FromStr};

use time::OffsetDateTime;
use uuid::{NoContext, Timestamp, Uuid, fmt::Hyphenated};

/// Identifies a user for ever: a UUIDv7 (RFC 9562, section 5.7), so that a table is filled in the order of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserId(pub Uuid);

impl UserId {
    /// A new id, never given before, for a user that signed up at `time`.
    #[must_use]
    pub fn new(time: OffsetDateTime) -> Self {
        let seconds = u64::try_from(time.unix_timestamp()).unwrap_or_default();
        Self(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, time.nanosecond())))
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Identifies a session for ever: a UUIDv4 (RFC 9562, section 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub Uuid);

impl SessionId {
    /// A new id, never given before.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl FromStr for SessionId {
    type Err = uuid::Error;

    /// Reads the canonical text of a UUID, and no other of its forms.
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(|id: Hyphenated| Self(id.into_uuid()))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The epoch of a user: 64 random bits, written into each session that is opened and replaced whenever all sessions
/// shall end at once. Compared for equality only.
///
/// A counter would do the same until a store comes back from an old copy and counts to the same number again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub i64);

impl Epoch {
    /// A new epoch.
    ///
    /// # Panics
    /// Where the system has no random numbers to give, as [`UserId::new`] and [`SessionId::random`] do.
    #[must_use]
    pub fn random() -> Self {
        Self(getrandom::u64().expect("the system's random numbers are there once it has started").cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_user_id_is_a_version_7_of_its_time_and_no_two_are_alike() {
        let time = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);

        let (first, second) = (UserId::new(time), UserId::new(time));

        assert_eq!(first.0.get_version_num(), 7);
        let seconds = first.0.get_timestamp().expect("a time").to_unix().0;
        assert_eq!(seconds, 20_000 * 86_400);
        assert_ne!(first, second);
    }

    #[test]
    fn a_session_id_is_a_version_4() {
        assert_eq!(SessionId::random().0.get_version_num(), 4);
        assert_ne!(SessionId::random(), SessionId::random());
    }

    #[test]
    fn no_two_epochs_are_alike() {
        assert_ne!(Epoch::random(), Epoch::random());
    }

    proptest! {
        #[test]
        fn a_session_has_one_text_but_for_the_case_of_its_letters(id in any::<u128>()) {
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
