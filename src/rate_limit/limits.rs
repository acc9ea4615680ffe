//! How many attempts may fail.

use std::time::Duration;

use crate::store::Limit;

/// How many attempts at one account may fail in a row, by everybody whose device is not known, before it stays at the
/// longest wait until one succeeds (NIST SP 800-63B-4, section 3.2.2, has it disabled there; see SECURITY.md).
pub const FAILURES_IN_A_ROW: u32 = 100;

/// Nine failures cost nothing; from the tenth on, each has the next attempt wait, longer and longer up to a quarter of an
/// hour: 96 guesses a day.
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

/// Failures at one account, from wherever.
pub static ACCOUNT: Limit = Limit {
    name: "account",
    charges: BACKOFF,
    burst: Duration::ZERO,
    ttl: Duration::from_hours(24),
    long_ttl_from: FAILURES_IN_A_ROW,
};

/// Failures at one account from one address.
pub static ACCOUNT_IP: Limit = Limit { name: "pair", ..ACCOUNT };

/// Failures from one address, at whatever account: a hundred at once, and then one every ten seconds.
pub static ADDRESS: Limit = Limit {
    name: "address",
    charges: &[Duration::from_secs(10)],
    burst: Duration::from_secs(99 * 10),
    ttl: Duration::ZERO,
    long_ttl_from: u32::MAX,
};

/// Sign-ups from one address: two hundred at once, and then two hundred an hour.
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

    /// When each of so many attempts is made, all of which fail, by somebody who tries again as soon as that is allowed.
    fn attempts(limit: &Limit, number: usize) -> Vec<u64> {
        let (mut level, mut now) = (GcraState::default(), Duration::from_hours(1));
        let attempt = |_| {
            while let ReserveOutcome::Denied { wait } = level.reserve(limit, now) {
                now += wait;
            }
            now.as_secs() - 3600
        };
        (0..number).map(attempt).collect()
    }

    #[test]
    fn ten_failures_are_free_and_then_each_makes_the_next_wait_longer() {
        let made = attempts(&ACCOUNT, 21);

        assert_eq!(made[..10], [0; 10]);
        let waits: Vec<_> = made[9..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(waits, [1, 3, 5, 10, 30, 60, 120, 300, 600, 900, 900]);
    }

    #[test]
    fn a_hundred_failures_from_an_address_are_free_and_then_six_a_minute() {
        let made = attempts(&ADDRESS, 112);

        assert_eq!((made[99], made[100], made[111]), (0, 10, 120));
    }

    #[test]
    fn two_hundred_sign_ups_from_an_address_are_free_and_then_as_many_an_hour() {
        let made = attempts(&SIGN_UPS, 401);

        assert_eq!((made[199], made[200], made[400]), (0, 18, 3618));
    }
}
