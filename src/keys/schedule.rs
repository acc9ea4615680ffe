//! Minimum times in each key state.

use std::time::Duration;

use time::OffsetDateTime;

use super::entry::{KeyEntry, KeyState, Purpose};

/// Added to the cache times of published keys: three reload intervals of a server.
const PUBLISHING_MARGIN: Duration = Duration::from_secs(30);

/// Added to the lifetime of everything that a key has signed: six reload intervals, in which some server may still sign
/// with it.
const RETIRING_MARGIN: Duration = Duration::from_mins(1);

/// Longest lifetime of data under a limiter key: known devices, 90 days. If data lives longer, its counter restarts once,
/// which is harmless.
const LIMITER_DATA_TTL: Duration = Duration::from_hours(90 * 24);

/// The server settings that determine how long keys stay in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTimes {
    /// How long caches keep the published keys.
    pub max_age: Duration,
    /// Lifetime of an access token.
    pub access: Duration,
    /// Maximum lifetime of a refresh token.
    pub refresh: Duration,
}

impl KeyTimes {
    /// Returns the earliest time to activate a next key or to remove a retiring one; `None` for an active key.
    ///
    /// A next key waits until every verifier can have fetched it: a cache may serve the previous set for `max_age`, and a
    /// verifier may keep it for another `max_age`. Unpublished keys wait as long: replicas that share a directory need only
    /// the margin, but Kubernetes takes minutes to update a mounted Secret.
    #[must_use]
    pub fn due(&self, key: &KeyEntry) -> Option<OffsetDateTime> {
        let minimum = match key.state {
            KeyState::Next => 2 * self.max_age + PUBLISHING_MARGIN,
            KeyState::Active => return None,
            KeyState::Retiring => self.longest_lifetime(key.purpose) + RETIRING_MARGIN,
        };
        // Saturates only if the manifest contains an extreme time.
        Some(key.since.saturating_add(time::Duration::try_from(minimum).unwrap_or(time::Duration::MAX)))
    }

    /// Returns the longest lifetime of data that a key of this purpose has signed.
    fn longest_lifetime(&self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::Access => self.access,
            Purpose::Refresh => self.refresh,
            Purpose::Limiter => LIMITER_DATA_TTL,
        }
    }
}
