//! What the counter of an authentic refresh token is worth: rows C and 1 to 6 of the README's table, in its order.
//!
//! A client holds one token. Using it hands out its successor, and the client proves that it has that by using it. So
//! whoever uses a token that is neither the one held nor its successor has a copy of what somebody else has used.
//! `store/redis/session.refresh.lua` says the same where Redis has to decide in one step.

use std::time::Duration;

use time::OffsetDateTime;

use super::session::{KeyTag, Session};

/// How long after a rotation the token that was used is good for the same successor once more: two tabs, or a quick
/// retry. Within this time a thief cannot be told from them.
pub const REUSE_INTERVAL: Duration = Duration::from_secs(10);

/// Whether a refresh replaces the refresh token (RFC 9700, section 4.14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It does not: a session has one token until it ends.
    Off,
    /// It does, and this key signs the successor.
    On(KeyTag),
}

/// What became of a refresh token that a session in force was presented with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// Without rotation: the token is good, and stays.
    Kept,
    /// Without rotation: another token has taken its place. The session goes on.
    Outdated,
    /// The successor: its client has got it, and gets the next one.
    Next,
    /// The token that was used just now: its client gets the same successor again.
    Shared,
    /// The token that was used last, some time ago: the answer was lost, and its client gets another successor.
    LostResponse,
    /// A successor in whose place another one was handed out: two have the token before it. The session has ended.
    Superseded,
    /// A token whose successor has been used: two have it. The session has ended.
    Reused,
    /// A token that the session has yet to hand out: the store has lost writes. Its client gets the next one.
    Rollback,
}

impl RefreshOutcome {
    /// Every one, in the order of the table's rows.
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

    /// Its name, in metrics and in the answer of Redis.
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

    /// Whether two have the same token, so that the session had to end.
    #[must_use]
    pub fn is_reuse(self) -> bool {
        matches!(self, Self::Superseded | Self::Reused)
    }
}

impl Session {
    /// Presents this session, which is in force, with the counter of an authentic token, and notes what that changes.
    pub fn apply_refresh(&mut self, counter: u64, rotation: Rotation, now: OffsetDateTime) -> RefreshOutcome {
        let Rotation::On(key) = rotation else {
            let is_good = counter == self.current || counter >= self.next;
            return if is_good { RefreshOutcome::Kept } else { RefreshOutcome::Outdated };
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
                self.hand_out(counter.saturating_add(1), key, now);
            }
            RefreshOutcome::LostResponse => self.hand_out(self.next.saturating_add(1), key, now),
            _ => {}
        }
        outcome
    }

    fn hand_out(&mut self, next: u64, key: KeyTag, now: OffsetDateTime) {
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

    /// A session that rotated at noon, and since then has held 4 and handed out 7.
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
            client: Client::new(std::net::Ipv4Addr::LOCALHOST.into(), ""),
        }
    }

    /// What becomes of a token, and the session's held counter, successor and its key, and time of rotation afterwards.
    fn presented(counter: u64, rotation: Rotation, later: Duration) -> (RefreshOutcome, (u64, u64, KeyTag, Duration)) {
        let mut session = session();
        let outcome = session.apply_refresh(counter, rotation, NOON + later);
        let rotated = (session.rotated - NOON).unsigned_abs();
        (outcome, (session.current, session.next, session.next_key, rotated))
    }

    #[test]
    fn each_row_of_the_table_answers_and_writes_what_it_says() {
        let on = Rotation::On(NEXT_KEY);
        let (just_now, later) = (Duration::from_secs(10), Duration::from_millis(10_001));
        let unchanged = (4, 7, KEY, Duration::ZERO);

        assert_eq!(presented(7, on, later), (RefreshOutcome::Next, (7, 8, NEXT_KEY, later)));
        assert_eq!(presented(7, on, just_now), (RefreshOutcome::Next, (7, 8, NEXT_KEY, just_now)));
        assert_eq!(presented(4, on, just_now), (RefreshOutcome::Shared, unchanged));
        assert_eq!(presented(4, on, later), (RefreshOutcome::LostResponse, (4, 8, NEXT_KEY, later)));
        for replaced in [5, 6] {
            assert_eq!(presented(replaced, on, just_now), (RefreshOutcome::Superseded, unchanged));
        }
        for retired in [0, 3] {
            assert_eq!(presented(retired, on, just_now), (RefreshOutcome::Reused, unchanged));
        }
        assert_eq!(presented(8, on, later), (RefreshOutcome::Rollback, (8, 9, NEXT_KEY, later)));
        assert_eq!(presented(20, on, later), (RefreshOutcome::Rollback, (20, 21, NEXT_KEY, later)));
    }

    #[test]
    fn without_rotation_nothing_is_written_and_nothing_is_theft() {
        for (counter, outcome) in [
            (0, RefreshOutcome::Outdated),
            (4, RefreshOutcome::Kept),
            (5, RefreshOutcome::Outdated),
            (7, RefreshOutcome::Kept),
            (20, RefreshOutcome::Kept),
        ] {
            let later = Duration::from_hours(1);
            assert_eq!(presented(counter, Rotation::Off, later), (outcome, (4, 7, KEY, Duration::ZERO)));
            assert!(!outcome.is_reuse());
        }
    }
}
