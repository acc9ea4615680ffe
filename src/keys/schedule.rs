//! How long a key has to stay in a state.

use std::time::Duration;

use time::OffsetDateTime;

use super::entry::{KeyEntry, KeyState, Purpose};

/// What a key is published for beside the caches: three times what a server takes to notice it.
const PUBLISHING_MARGIN: Duration = Duration::from_secs(30);

/// What a key is kept for beside the life of what it has signed: six times what a server takes to notice that it shall
/// sign no more.
const RETIRING_MARGIN: Duration = Duration::from_mins(1);

/// The longest that anything is counted or known under a limiter key: devices, for 90 days. Nothing breaks where that is
/// longer: a count starts anew, once.
const LONGEST_COUNT: Duration = Duration::from_hours(90 * 24);

/// What the times of keys follow from: the settings of the servers that use them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTimes {
    /// How long caches may keep the published keys.
    pub max_age: Duration,
    /// How long an access token lives.
    pub access: Duration,
    /// How long a refresh token lives, at the longest.
    pub refresh: Duration,
}

impl KeyTimes {
    /// From when on a next key may be activated, or a retiring one dropped; nothing is due to an active one.
    ///
    /// A next key is activated once every verifier has had the time to fetch it: a cache may hand out the set of before for
    /// its maximal age, and a verifier keep it for as long again. Keys that are not published wait as long: their replicas
    /// need no more than the margin where they share a directory, but some minutes where a Secret is brought to them.
    #[must_use]
    pub fn due(&self, key: &KeyEntry) -> Option<OffsetDateTime> {
        let stay = match key.state {
            KeyState::Next => 2 * self.max_age + PUBLISHING_MARGIN,
            KeyState::Active => return None,
            KeyState::Retiring => self.longest_life(key.purpose) + RETIRING_MARGIN,
        };
        // Far from any bound, unless somebody has written such a time into the manifest.
        Some(key.since.saturating_add(time::Duration::try_from(stay).unwrap_or(time::Duration::MAX)))
    }

    /// The longest life of what a key has signed.
    fn longest_life(&self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::Access => self.access,
            Purpose::Refresh => self.refresh,
            Purpose::Limiter => LONGEST_COUNT,
        }
    }
}
