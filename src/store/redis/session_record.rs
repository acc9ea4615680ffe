//! The record of a session in Redis.

use std::time::Duration;

use time::OffsetDateTime;

use super::{error::STORE, user_agent};
use crate::{
    clock::from_unix_ms,
    model::{Client, Epoch, KeyTag, RefreshedSession, Session, SessionId, UserId},
    store::StoreError,
};

/// The fields `epoch`, `created`, `expires`, `last_used`, `idle`, `held`, `successor`, `successor_key`, `rotated`, `address`,
/// `user_agent` and `user_agent2`, in the order of `session.lua`. The last one is absent if it would be empty, and `idle` in
/// sessions of earlier versions, which have no idle limit.
pub(super) type Record = (i64, i64, i64, i64, Option<u64>, u64, u64, u32, i64, String, String, Option<String>);

/// Converts a record to a session, which was authenticated at this time or, without one, when it was created.
///
/// # Errors
/// Returns [`StoreError::Corrupt`] if a time is out of range or the address is none.
pub(super) fn session(
    user: UserId,
    id: SessionId,
    record: Record,
    authenticated: Option<i64>,
) -> Result<Session, StoreError> {
    let (epoch, created, expires, last_used, idle, current, next, next_key, rotated, address, agent, agent2) = record;
    let address = address.parse().map_err(|error| StoreError::corrupt(STORE, &error))?;
    Ok(Session {
        id,
        user,
        epoch: Epoch(epoch),
        current,
        next,
        next_key: key_tag(next_key),
        rotated: read_time(rotated)?,
        created: read_time(created)?,
        expires: read_time(expires)?,
        last_used: read_time(last_used)?,
        idle: read_idle(idle),
        authenticated: read_time(authenticated.unwrap_or(created))?,
        client: Client::new(address, &user_agent::decode(&agent, &agent2.unwrap_or_default())),
    })
}

/// Converts the fields `expires`, `held`, `successor` and `successor_key`.
///
/// # Errors
/// Returns [`StoreError::Corrupt`] if the time is out of range.
pub(super) fn refreshed_session(
    user: UserId,
    id: SessionId,
    (expires, current, next, next_key): (i64, u64, u64, u32),
) -> Result<RefreshedSession, StoreError> {
    Ok(RefreshedSession { id, user, expires: read_time(expires)?, current, next, next_key: key_tag(next_key) })
}

fn key_tag(number: u32) -> KeyTag {
    KeyTag(number.to_be_bytes())
}

/// Converts a time, in milliseconds since 1970.
///
/// # Errors
/// Returns [`StoreError::Corrupt`] if it is out of range.
pub(super) fn read_time(milliseconds: i64) -> Result<OffsetDateTime, StoreError> {
    from_unix_ms(milliseconds).ok_or_else(|| StoreError::corrupt(STORE, "time out of range"))
}

/// Converts an idle limit in milliseconds. An absent limit and 0 are none.
pub(super) fn read_idle(milliseconds: Option<u64>) -> Option<Duration> {
    milliseconds.filter(|idle| *idle > 0).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::unix_ms;

    const USER: UserId = UserId(uuid::Uuid::from_u128(1));
    const SESSION: SessionId = SessionId(uuid::Uuid::from_u128(2));

    fn record(idle: Option<u64>, address: &str, user_agent2: Option<&str>) -> Record {
        let user_agent2 = user_agent2.map(ToOwned::to_owned);
        (-1, 1, 2, 3, idle, 0, 1, 7, 4, address.to_owned(), "\u{5}X".to_owned(), user_agent2)
    }

    #[test]
    fn absent_fields_of_earlier_versions_have_defaults() {
        let read = session(USER, SESSION, record(None, "192.0.2.1", None), None).expect("a session");

        assert_eq!((read.idle, read.client.user_agent.as_str()), (None, "Mozilla/5.0 (X"));
        assert_eq!(read, session(USER, SESSION, record(Some(0), "192.0.2.1", Some("")), None).expect("a session"));
    }

    #[test]
    fn both_fields_of_a_user_agent_are_joined() {
        let read = session(USER, SESSION, record(Some(5), "192.0.2.1", Some("11)")), None).expect("a session");

        assert_eq!((read.idle, read.client.user_agent.as_str()), (Some(Duration::from_millis(5)), "Mozilla/5.0 (X11)"));
    }

    #[test]
    fn session_was_authenticated_when_it_was_created_or_later() {
        let authenticated = |time| {
            let read = session(USER, SESSION, record(None, "192.0.2.1", None), time).expect("a session");
            unix_ms(read.authenticated)
        };

        assert_eq!((authenticated(None), authenticated(Some(5))), (1, 5));
    }

    #[test]
    fn unreadable_values_are_corrupt() {
        let mut late = record(None, "192.0.2.1", None);
        late.2 = i64::MAX;

        for record in [late, record(None, "localhost", None)] {
            assert!(matches!(session(USER, SESSION, record, None), Err(StoreError::Corrupt { .. })));
        }
    }
}
