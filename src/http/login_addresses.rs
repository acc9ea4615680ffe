//! Finds a client address that makes most logins.

use std::{net::IpAddr, time::Duration};

use tokio::time::Instant;

/// The number of logins that are compared.
const WINDOW: usize = 100;

/// The longest time that these logins may take together: a monitor that logs in once a minute is no majority.
const MAX_WINDOW_AGE: Duration = Duration::from_hours(1);

/// The addresses of the latest logins: at most [`WINDOW`], so about 2 KiB.
#[derive(Default)]
pub struct LoginAddresses {
    first: Option<Instant>,
    addresses: Vec<IpAddr>,
}

/// An address that made more than half of some logins.
#[derive(Debug, PartialEq, Eq)]
pub struct Majority {
    /// The address.
    pub address: IpAddr,
    /// The number of its logins.
    pub logins: usize,
    /// The number of all logins.
    pub of: usize,
}

impl LoginAddresses {
    /// Adds a login. After [`WINDOW`] logins within [`MAX_WINDOW_AGE`], returns the address that made more than half of
    /// them, if there is one, and starts again.
    pub fn add(&mut self, address: IpAddr, now: Instant) -> Option<Majority> {
        if self.first.is_some_and(|first| now.duration_since(first) > MAX_WINDOW_AGE) {
            self.addresses.clear();
        }
        if self.addresses.is_empty() {
            self.first = Some(now);
        }
        self.addresses.push(address);
        if self.addresses.len() < WINDOW {
            return None;
        }
        let majority = majority(&self.addresses);
        self.addresses.clear();
        majority.map(|(address, logins)| Majority { address, logins, of: WINDOW })
    }
}

/// Returns the item that makes up more than half of all, and its count. Needs two passes and no memory (R. S. Boyer and
/// J S. Moore, "MJRTY: A Fast Majority Vote Algorithm", 1991): the first pass pairs different items off, which leaves
/// the only item that can have a majority; the second one counts it.
fn majority<T: Copy + PartialEq>(items: &[T]) -> Option<(T, usize)> {
    let mut candidate = *items.first()?;
    let mut votes = 0_usize;
    for item in items {
        if votes == 0 {
            candidate = *item;
        }
        votes = if *item == candidate { votes + 1 } else { votes - 1 };
    }
    let count = items.iter().filter(|item| **item == candidate).count();
    (count > items.len() / 2).then_some((candidate, count))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn address(host: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, host).into()
    }

    /// Adds logins, and returns what was found.
    fn found(logins: &mut LoginAddresses, hosts: impl IntoIterator<Item = u8>, now: Instant) -> Vec<Majority> {
        hosts.into_iter().filter_map(|host| logins.add(address(host), now)).collect()
    }

    #[test]
    fn address_of_most_logins_is_found() {
        let mut logins = LoginAddresses::default();
        let now = Instant::now();

        let mostly_one = (0..100).map(|login| if login % 2 == 0 || login == 1 { 200 } else { login });
        assert_eq!(found(&mut logins, mostly_one, now), [Majority { address: address(200), logins: 51, of: 100 }]);
        assert_eq!(found(&mut logins, [7; 99], now), []);
        assert_eq!(found(&mut logins, [7], now).len(), 1);
    }

    #[test]
    fn half_of_the_logins_is_no_majority() {
        let mut logins = LoginAddresses::default();

        let half = (0..100).map(|login| if login % 2 == 0 { 200 } else { login });

        assert_eq!(found(&mut logins, half, Instant::now()), []);
    }

    #[test]
    fn logins_spread_over_more_than_an_hour_are_not_compared() {
        let mut logins = LoginAddresses::default();
        let start = Instant::now();

        let minutes = (0..1000).map(|minute| logins.add(address(1), start + Duration::from_mins(minute)));
        assert!(minutes.collect::<Vec<_>>().iter().all(Option::is_none));

        let later = start + Duration::from_hours(100);
        assert_eq!(found(&mut logins, [1; 100], later).len(), 1);
    }

    proptest! {
        #[test]
        fn majority_is_what_counting_finds(items in proptest::collection::vec(0..4, 0..40)) {
            let count = |item: i32| items.iter().filter(|other| **other == item).count();
            let expected = (0..4).map(|item| (item, count(item))).find(|(_, count)| 2 * count > items.len());

            prop_assert_eq!(majority(&items), expected);
        }
    }
}
