//! The limits: how many attempts may fail, and the delays after that.

use std::time::Duration;

use crate::store::Limit;

/// The failures in a row at one account, from unknown devices, after which the account stays at the longest delay until a
/// login succeeds or 90 days pass without an attempt. NIST SP 800-63B-4, section 3.2.2, requires the account to be
/// disabled at this number; docs/asvs.md explains the deviation.
pub const FAILURES_IN_A_ROW: u32 = 100;

/// The delays after each failure: none after the first nine, then up to 15 minutes, which allows 96 guesses a day.
const BACKOFF: &[Duration] = &[
    Duration::ZERO,
    Duration::ZERO,
    Duration::ZERO,
    Duration::ZERO,
    Duration::ZERO,
    Duration::ZERO,
    Duration::ZERO,
    Duration::ZERO,
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(2),
    Duration::from_mins(5),
    Duration::from_mins(10),
    Duration::from_mins(15),
];

/// Failures at one account, from any address.
pub static ACCOUNT: Limit = Limit {
    name: "account",
    charges: BACKOFF,
    burst: Duration::ZERO,
    ttl: Duration::from_hours(24),
    long_ttl_from: FAILURES_IN_A_ROW,
};

/// Failures at one account from one address.
///
/// The name stays `pair`: keys in Redis, bucket keys, metrics and audit events contain it.
pub static ACCOUNT_IP: Limit = Limit { name: "pair", ..ACCOUNT };

/// Failures of logins that came with a refresh token of the account, by the session of the token.
pub static ACCOUNT_SESSION: Limit = Limit { name: "account_session", ..ACCOUNT };

/// Failures from one address, at any account: 100 at once, then one every 10 seconds.
pub static ADDRESS: Limit = Limit {
    name: "address",
    charges: &[Duration::from_secs(10)],
    burst: Duration::from_secs(99 * 10),
    ttl: Duration::ZERO,
    long_ttl_from: u32::MAX,
};

/// Sign-ups from one address: 200 at once, then one every 18 seconds.
pub static SIGN_UPS: Limit = Limit {
    name: "sign_up",
    charges: &[Duration::from_secs(18)],
    burst: Duration::from_secs(199 * 18),
    ttl: Duration::ZERO,
    long_ttl_from: u32::MAX,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{GcraState, ReserveOutcome};

    /// Returns the second of each of `count` failing attempts, if the client retries as soon as the limit allows.
    fn attempt_times(limit: &Limit, count: usize) -> Vec<u64> {
        let (mut state, mut now) = (GcraState::default(), Duration::from_hours(1));
        let attempt = |_| {
            if let ReserveOutcome::Denied { wait } = state.reserve(limit, now) {
                now += wait;
                assert!(matches!(state.reserve(limit, now), ReserveOutcome::Allowed { .. }), "{wait:?} is long enough");
            }
            now.as_secs() - 3600
        };
        (0..count).map(attempt).collect()
    }

    #[test]
    fn ten_failures_are_free_then_delays_grow() {
        let times = attempt_times(&ACCOUNT, 21);

        assert_eq!(times[..10], [0; 10]);
        let waits: Vec<_> = times[9..].windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(waits, [1, 3, 5, 10, 30, 60, 120, 300, 600, 900, 900]);
    }

    #[test]
    fn address_has_100_free_failures_then_6_a_minute() {
        let times = attempt_times(&ADDRESS, 112);

        assert_eq!((times[99], times[100], times[111]), (0, 10, 120));
    }

    #[test]
    fn address_has_200_free_sign_ups_then_200_an_hour() {
        let times = attempt_times(&SIGN_UPS, 401);

        assert_eq!((times[199], times[200], times[400]), (0, 18, 3618));
    }
}
