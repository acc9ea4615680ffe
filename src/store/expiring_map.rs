//! A map whose entries expire.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    time::Duration,
};

/// The maximum number of expired entries that one call removes: more than one, so that they do not accumulate, and few, so
/// that no call is slow.
const MAX_REMOVALS: usize = 8;

/// A map whose entries expire, ordered by expiry. Times are durations since an origin that the caller chooses.
pub(super) struct ExpiringMap<K, V> {
    entries: HashMap<K, Entry<V>>,
    by_expiry: BTreeSet<(Duration, K)>,
}

struct Entry<V> {
    value: V,
    expires: Duration,
}

impl<K: Copy + Eq + Hash + Ord, V> ExpiringMap<K, V> {
    pub(super) fn new() -> Self {
        Self { entries: HashMap::new(), by_expiry: BTreeSet::new() }
    }

    /// Returns the number of entries, including expired ones that have not been removed yet.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns a value that has not expired.
    pub(super) fn find_mut(&mut self, key: &K, now: Duration) -> Option<&mut V> {
        self.entries.get_mut(key).filter(|entry| entry.expires > now).map(|entry| &mut entry.value)
    }

    /// Inserts or replaces an entry.
    pub(super) fn insert(&mut self, key: K, value: V, expires: Duration) {
        if let Some(former) = self.entries.insert(key, Entry { value, expires }) {
            self.by_expiry.remove(&(former.expires, key));
        }
        self.by_expiry.insert((expires, key));
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_expiry.remove(&(entry.expires, *key));
        }
    }

    /// Removes some of the expired entries, if there are any.
    pub(super) fn remove_expired(&mut self, now: Duration) {
        for _ in 0..MAX_REMOVALS {
            if self.by_expiry.first().is_none_or(|(expires, _)| *expires > now) {
                return;
            }
            self.remove_first();
        }
    }

    /// Removes the entry that expires first.
    pub(super) fn remove_first(&mut self) {
        if let Some((_, key)) = self.by_expiry.pop_first() {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn entry_is_found_until_it_expires() {
        let mut map = ExpiringMap::new();
        map.insert(1, 'a', at(10));

        assert_eq!(map.find_mut(&1, at(9)), Some(&mut 'a'));
        assert_eq!(map.find_mut(&1, at(10)), None);
    }

    #[test]
    fn first_to_expire_is_removed_first_after_a_replacement_too() {
        let mut map = ExpiringMap::new();
        map.insert(1, 'a', at(10));
        map.insert(2, 'b', at(20));
        map.insert(1, 'c', at(30));

        map.remove_first();

        assert_eq!((map.len(), map.find_mut(&1, at(0))), (1, Some(&mut 'c')));
    }

    #[test]
    fn expired_entries_are_removed_a_few_at_a_time() {
        let mut map = ExpiringMap::new();
        for key in 0..10 {
            map.insert(key, (), at(key));
        }

        map.remove_expired(at(8));
        assert_eq!(map.len(), 2);
        map.remove_expired(at(8));
        assert_eq!(map.len(), 1);
        map.remove(&9);

        assert_eq!((map.len(), map.by_expiry.len()), (0, 0));
    }
}
