//! The limits: how many attempts may fail, and the delays after that.

use std::{slice, time::Duration};

use crate::store::Limit;

/// The failures in a row at one account, from unknown devices, after which the account stays at the longest delay until a
/// login succeeds or 90 days pass without an attempt. NIST SP 800-63B-4, section 3.2.2, requires the account to be
/// disabled at this number; docs/asvs.md explains the deviation.
pub const FAILURES_IN_A_ROW: u32 = 100;

/// The longest delay between attempts, and the time that each failure keeps its bucket: 90 of them are a day. With both
/// alike, no mix of bursts and pauses gives more than 107 attempts in 24 hours: 90, and those of one burst.
const LONGEST_DELAY: Duration = Duration::from_mins(16);

/// The delays after each failure: none after the first nine, then up to [`LONGEST_DELAY`].
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
    LONGEST_DELAY,
];

/// Failures at one account, from any address.
pub static ACCOUNT: Limit = Limit {
    name: "account",
    charges: BACKOFF,
    burst: Duration::ZERO,
    ttl_per_attempt: LONGEST_DELAY,
    long_ttl_from: FAILURES_IN_A_ROW,
};

/// Failures at one account from one address.
///
/// The name stays `pair`: keys in Redis, bucket keys, metrics and audit events contain it.
pub static ACCOUNT_IP: Limit = Limit { name: "pair", ..ACCOUNT };

/// Failures of logins that came with a refresh token of the account, by the session of the token.
pub static ACCOUNT_SESSION: Limit = Limit { name: "account_session", ..ACCOUNT };

/// The limits of an address, one for each size of network that the address is counted in.
///
/// The owner of an IPv6 network can use all addresses in it, so the networks of the sizes that sites get (RFC 6177: up to
/// a /48) have limits of their own. Each allows more than a smaller one, at once and over time, so that one smaller network
/// alone never exhausts it.
pub struct AddressLimits {
    /// An IPv4 address or an IPv6 /64.
    pub narrow: Limit,
    /// An IPv6 /56, and an IPv6 /48.
    pub wide: [Limit; 2],
}

impl AddressLimits {
    /// Returns whether a limit is one of these.
    pub fn includes(&self, limit: &Limit) -> bool {
        [&self.narrow].into_iter().chain(&self.wide).any(|own| own.name == limit.name)
    }
}

/// A limit without retention after its last charge, to be completed.
const STEADY: Limit =
    Limit { name: "", charges: &[], burst: Duration::ZERO, ttl_per_attempt: Duration::ZERO, long_ttl_from: u32::MAX };

/// Failures from one address, at any account: 100 at once, then one every 10 seconds; 200 and 5 seconds for a /56, 390 and
/// 2.5 seconds for a /48.
pub static ADDRESS: AddressLimits = AddressLimits {
    narrow: Limit {
        name: "address",
        charges: &[Duration::from_secs(10)],
        burst: Duration::from_secs(99 * 10),
        ..STEADY
    },
    wide: [
        Limit { name: "address_56", charges: &[Duration::from_secs(5)], burst: Duration::from_secs(199 * 5), ..STEADY },
        Limit {
            name: "address_48",
            charges: &[Duration::from_millis(2_500)],
            burst: Duration::from_millis(389 * 2_500),
            ..STEADY
        },
    ],
};

/// Sign-ups from one address: 200 at once, then one every 18 seconds; 400 and 9 seconds for a /56, 780 and 4.5 seconds for
/// a /48.
pub static SIGN_UPS: AddressLimits = AddressLimits {
    narrow: Limit {
        name: "sign_up",
        charges: &[Duration::from_secs(18)],
        burst: Duration::from_secs(199 * 18),
        ..STEADY
    },
    wide: [
        Limit { name: "sign_up_56", charges: &[Duration::from_secs(9)], burst: Duration::from_secs(399 * 9), ..STEADY },
        Limit {
            name: "sign_up_48",
            charges: &[Duration::from_millis(4_500)],
            burst: Duration::from_millis(779 * 4_500),
            ..STEADY
        },
    ],
};

/// Failed comparisons with imported hashes from one address, which are charged in proportion to their cost: 640 hashes at
/// once, then one a second; twice as many for a /56, and four times as many for a /48. There is a limit for each power of
/// two, up to 64 hashes; all charge the same buckets.
///
/// One of Django's hashes costs 8 to 16 of ours, so an address may fail 40 to 80 times at once, and then occupies 3 to 6 % of
/// the thread for imported hashes.
pub static IMPORTED_HASHES: [AddressLimits; 7] = [
    imported_hash_limits(0),
    imported_hash_limits(1),
    imported_hash_limits(2),
    imported_hash_limits(3),
    imported_hash_limits(4),
    imported_hash_limits(5),
    imported_hash_limits(6),
];

/// The charges of 1, 2, 4, … hashes: for an address, a /56 and a /48.
static IMPORTED_HASH_CHARGES: [[Duration; 3]; 7] = [
    [Duration::from_secs(1), Duration::from_millis(500), Duration::from_millis(250)],
    [Duration::from_secs(2), Duration::from_secs(1), Duration::from_millis(500)],
    [Duration::from_secs(4), Duration::from_secs(2), Duration::from_secs(1)],
    [Duration::from_secs(8), Duration::from_secs(4), Duration::from_secs(2)],
    [Duration::from_secs(16), Duration::from_secs(8), Duration::from_secs(4)],
    [Duration::from_secs(32), Duration::from_secs(16), Duration::from_secs(8)],
    [Duration::from_secs(64), Duration::from_secs(32), Duration::from_secs(16)],
];

const fn imported_hash_limits(exponent: usize) -> AddressLimits {
    const BURST: Duration = Duration::from_secs(639);
    let [narrow, wide, widest] = &IMPORTED_HASH_CHARGES[exponent];
    AddressLimits {
        narrow: Limit { name: "imported_hash", charges: slice::from_ref(narrow), burst: BURST, ..STEADY },
        wide: [
            Limit { name: "imported_hash_56", charges: slice::from_ref(wide), burst: BURST, ..STEADY },
            Limit { name: "imported_hash_48", charges: slice::from_ref(widest), burst: BURST, ..STEADY },
        ],
    }
}

/// Returns the limits of a comparison that costs as much as this number of hashes, rounded down to a power of two.
pub fn imported_hashes(cost: u64) -> &'static AddressLimits {
    let exponent = usize::try_from(cost.max(1).ilog2()).unwrap_or(usize::MAX);
    &IMPORTED_HASHES[exponent.min(IMPORTED_HASHES.len() - 1)]
}

/// Exports of an account's own data: 5 at once, then one an hour. Only exports with the right password count here.
pub static EXPORTS: Limit =
    Limit { name: "export", charges: &[Duration::from_hours(1)], burst: Duration::from_hours(4), ..STEADY };

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
        assert_eq!(waits, [1, 3, 5, 10, 30, 60, 120, 300, 600, 960, 960]);
    }

    /// Returns the most attempts at a limit in any 24 hours, by every schedule: after each attempt, the client makes the
    /// next one as soon as it is allowed or as soon as the bucket has expired. Any other pause only delays what follows.
    fn most_attempts_a_day(limit: &Limit) -> u16 {
        const DAY: usize = 86_400;
        // From this count on, all charges and times of expiry are alike.
        const LAST: usize = FAILURES_IN_A_ROW as usize + 1;
        let seconds = |duration: Duration| usize::try_from(duration.as_secs()).expect("a short time");
        let after: Vec<_> = (0..=LAST)
            .map(|count| {
                let count = u32::try_from(count).expect("a small number");
                let state = GcraState { count, until: limit.charge(count) };
                (seconds(state.until), seconds(state.expires_at(limit, Duration::ZERO)))
            })
            .collect();
        // The most further attempts in a time, after an attempt that raised the count to the index in the row.
        let mut most: Vec<[u16; LAST + 1]> = Vec::with_capacity(DAY + 1);
        for time in 0..=DAY {
            let mut row = [0; LAST + 1];
            for count in (1..=LAST).rev() {
                let (wait, expiry) = after[count];
                let next = (count + 1).min(LAST);
                let continued = match wait {
                    0 => 1 + row[next],
                    wait => time.checked_sub(wait).map_or(0, |left| 1 + most[left][next]),
                };
                let restarted = time.checked_sub(expiry).map_or(0, |left| 1 + most[left][1]);
                row[count] = continued.max(restarted);
            }
            most.push(row);
        }
        1 + most[DAY].iter().max().expect("counts")
    }

    #[test]
    fn no_schedule_gives_more_than_110_guesses_a_day() {
        for limit in [&ACCOUNT, &ACCOUNT_IP] {
            assert_eq!(most_attempts_a_day(limit), 107, "{}", limit.name);
        }
    }

    #[test]
    fn guesses_are_kept_16_minutes_each_and_100_for_90_days() {
        let kept = |count| GcraState { count, until: Duration::ZERO }.expires_at(&ACCOUNT, Duration::ZERO);

        assert_eq!((kept(1), kept(10)), (Duration::from_mins(16), Duration::from_mins(160)));
        assert_eq!((kept(99), kept(100)), (Duration::from_mins(99 * 16), Duration::from_hours(90 * 24)));
    }

    #[test]
    fn address_has_100_free_failures_then_6_a_minute() {
        let times = attempt_times(&ADDRESS.narrow, 112);

        assert_eq!((times[99], times[100], times[111]), (0, 10, 120));
    }

    #[test]
    fn address_has_200_free_sign_ups_then_200_an_hour() {
        let times = attempt_times(&SIGN_UPS.narrow, 401);

        assert_eq!((times[199], times[200], times[400]), (0, 18, 3618));
    }

    #[test]
    fn account_has_5_free_exports_then_one_an_hour() {
        assert_eq!(attempt_times(&EXPORTS, 7), [0, 0, 0, 0, 0, 3600, 7200]);
    }

    #[test]
    fn wider_networks_have_more_free_attempts() {
        let free = |limit: &Limit| attempt_times(limit, 1000).iter().filter(|time| **time == 0).count();

        assert_eq!(ADDRESS.wide.each_ref().map(free), [200, 390]);
        assert_eq!(SIGN_UPS.wide.each_ref().map(free), [400, 780]);
    }

    #[test]
    fn costlier_comparisons_are_charged_in_proportion() {
        let times = |cost, count| attempt_times(&imported_hashes(cost).narrow, count);
        let free = |cost| times(cost, 1000).iter().filter(|time| **time == 0).count();

        assert_eq!([1, 2, 3, 8, 16, 31, 64, 1000].map(free), [640, 320, 320, 80, 40, 40, 10, 10]);
        let [of_16, of_64] = [times(16, 50), times(64, 50)];
        assert_eq!((of_16[49] - of_16[48], of_64[49] - of_64[48]), (16, 64));
    }

    #[test]
    fn comparisons_of_all_costs_charge_the_same_buckets() {
        for limits in &IMPORTED_HASHES {
            assert_eq!(limits.narrow.name, "imported_hash");
            assert_eq!(limits.wide.each_ref().map(|limit| limit.name), ["imported_hash_56", "imported_hash_48"]);
        }
    }

    #[test]
    fn one_network_never_exhausts_a_wider_one() {
        for AddressLimits { narrow, wide: [site, large_site] } in [&ADDRESS, &SIGN_UPS, imported_hashes(16)] {
            for (narrow, wide) in [(narrow, site), (site, large_site)] {
                let (mut state, mut now) = (GcraState::default(), Duration::ZERO);
                for second in attempt_times(narrow, 2000) {
                    now = Duration::from_secs(3600 + second);
                    assert!(matches!(state.reserve(wide, now), ReserveOutcome::Allowed { .. }), "{}", wide.name);
                }
                // Another network has attempts left.
                assert!(matches!(state.reserve(wide, now), ReserveOutcome::Allowed { .. }), "{}", wide.name);
            }
        }
    }
}
