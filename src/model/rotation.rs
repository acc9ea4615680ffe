//! Decides on an authentic refresh token by its counter: rows C and 1 to 6 of the table in docs/sessions.md, in its order.
//!
//! A session has two counters. Its client last proved to have the *current* token, and received the *next* token in
//! exchange. A client that stores the token of each response presents only these two, so any other token before the next
//! one is a copy: reuse is detected.
//!
//! `store/redis/session.refresh.lua` implements the same rules, because Redis must decide in one step.

use std::time::Duration;

use time::OffsetDateTime;

use super::session::{KeyTag, Session};

/// How long after a rotation the current token still returns the identical next token, for two tabs or a quick retry.
/// Within this time a thief cannot be distinguished from them.
pub const REUSE_INTERVAL: Duration = Duration::from_secs(10);

/// Whether a refresh replaces the refresh token (RFC 9700, section 4.14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// A session keeps its refresh token until it ends.
    Off,
    /// Each refresh returns a new refresh token, signed with this key.
    On(KeyTag),
}

/// The outcome of presenting a refresh token to a valid session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// C, without rotation: the token is valid and stays valid.
    Kept,
    /// C, without rotation: the token is superseded. The session continues.
    Outdated,
    /// 1: the next token. It becomes the current token, and its client gets a new next token.
    Next,
    /// 2: the current token, within [`REUSE_INTERVAL`]. Its client gets the identical next token.
    Shared,
    /// 3: the current token, later. The response was lost, and a new next token supersedes the lost one.
    LostResponse,
    /// 4: a token between the current and the next one. Reuse is detected: the session ends.
    Superseded,
    /// 5: a token before the current one. Reuse is detected: the session ends.
    Reused,
    /// 6: a token after the next one: the store has lost writes. It becomes the current token.
    Rollback,
}

impl RefreshOutcome {
    /// All outcomes, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Kept,
        Self::Outdated,
        Self::Next,
        Self::Shared,
        Self::LostResponse,
        Self::Superseded,
        Self::Reused,
        Self::Rollback,
    ];

    /// Returns the name in metrics, in audit events and in the responses of the Redis script.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Outdated => "outdated",
            Self::Next => "next",
            Self::Shared => "shared",
            Self::LostResponse => "lost_response",
            Self::Superseded => "superseded",
            Self::Reused => "reused",
            Self::Rollback => "rollback",
        }
    }

    /// Returns whether reuse was detected, which ends the session.
    #[must_use]
    pub fn is_reuse(self) -> bool {
        matches!(self, Self::Superseded | Self::Reused)
    }
}

impl Session {
    /// Applies the counter of an authentic token to this session, which must be valid. The caller ends the session if
    /// [`RefreshOutcome::is_reuse`].
    pub fn apply_refresh(&mut self, counter: u64, rotation: Rotation, now: OffsetDateTime) -> RefreshOutcome {
        let Rotation::On(key) = rotation else {
            let is_valid = counter == self.current || counter >= self.next;
            return if is_valid { RefreshOutcome::Kept } else { RefreshOutcome::Outdated };
        };
        let is_recent = now - self.rotated <= REUSE_INTERVAL;
        let outcome = match counter {
            counter if counter == self.next => RefreshOutcome::Next,
            counter if counter == self.current && is_recent => RefreshOutcome::Shared,
            counter if counter == self.current => RefreshOutcome::LostResponse,
            counter if self.current < counter && counter < self.next => RefreshOutcome::Superseded,
            counter if counter < self.current => RefreshOutcome::Reused,
            _ => RefreshOutcome::Rollback,
        };
        match outcome {
            RefreshOutcome::Next | RefreshOutcome::Rollback => {
                self.current = counter;
                self.issue_next(counter.saturating_add(1), key, now);
            }
            RefreshOutcome::LostResponse => self.issue_next(self.next.saturating_add(1), key, now),
            _ => {}
        }
        outcome
    }

    fn issue_next(&mut self, next: u64, key: KeyTag, now: OffsetDateTime) {
        self.next = next;
        self.next_key = key;
        self.rotated = now;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    const KEY: KeyTag = KeyTag([1; 4]);
    const NEXT_KEY: KeyTag = KeyTag([2; 4]);
    const NOON: OffsetDateTime = time::macros::datetime!(2027-01-15 12:00 UTC);

    /// Returns a session that rotated at noon, with the current token 4 and the next token 7.
    fn session() -> Session {
        Session {
            id: SessionId::random(),
            user: UserId::new(NOON),
            epoch: Epoch(1),
            current: 4,
            next: 7,
            next_key: KEY,
            rotated: NOON,
            created: NOON,
            expires: NOON + Duration::from_hours(24),
            last_used: NOON,
            idle: None,
            authenticated: OffsetDateTime::UNIX_EPOCH,
            client: Client::new(std::net::Ipv4Addr::LOCALHOST.into(), ""),
        }
    }

    /// Returns the outcome, and then the session's current and next counter, the key of the next token, and the time since
    /// noon of its rotation.
    fn refreshed(counter: u64, rotation: Rotation, later: Duration) -> (RefreshOutcome, (u64, u64, KeyTag, Duration)) {
        let mut session = session();
        let outcome = session.apply_refresh(counter, rotation, NOON + later);
        let rotated = (session.rotated - NOON).unsigned_abs();
        (outcome, (session.current, session.next, session.next_key, rotated))
    }

    #[test]
    fn refresh_follows_rows_1_to_6_of_the_table() {
        let on = Rotation::On(NEXT_KEY);
        let (just_now, later) = (Duration::from_secs(10), Duration::from_millis(10_001));
        let unchanged = (4, 7, KEY, Duration::ZERO);

        assert_eq!(refreshed(7, on, later), (RefreshOutcome::Next, (7, 8, NEXT_KEY, later)));
        assert_eq!(refreshed(7, on, just_now), (RefreshOutcome::Next, (7, 8, NEXT_KEY, just_now)));
        assert_eq!(refreshed(4, on, just_now), (RefreshOutcome::Shared, unchanged));
        assert_eq!(refreshed(4, on, later), (RefreshOutcome::LostResponse, (4, 8, NEXT_KEY, later)));
        for superseded in [5, 6] {
            assert_eq!(refreshed(superseded, on, just_now), (RefreshOutcome::Superseded, unchanged));
        }
        for reused in [0, 3] {
            assert_eq!(refreshed(reused, on, just_now), (RefreshOutcome::Reused, unchanged));
        }
        assert_eq!(refreshed(8, on, later), (RefreshOutcome::Rollback, (8, 9, NEXT_KEY, later)));
        assert_eq!(refreshed(20, on, later), (RefreshOutcome::Rollback, (20, 21, NEXT_KEY, later)));
    }

    #[test]
    fn without_rotation_nothing_is_written_and_nothing_is_reuse() {
        for (counter, outcome) in [
            (0, RefreshOutcome::Outdated),
            (4, RefreshOutcome::Kept),
            (5, RefreshOutcome::Outdated),
            (7, RefreshOutcome::Kept),
            (20, RefreshOutcome::Kept),
        ] {
            let later = Duration::from_hours(1);
            assert_eq!(refreshed(counter, Rotation::Off, later), (outcome, (4, 7, KEY, Duration::ZERO)));
            assert!(!outcome.is_reuse());
        }
    }
}
