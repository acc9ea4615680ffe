//! Attempts in the memory of the process: used beside the embedded store, and for what Redis cannot count.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};

use super::{
    attempts::{AttemptStore, Bucket, BucketKey, DEVICE_KNOWN_FOR, Device, GcraState, MAX_DEVICES, ReserveOutcome},
    error::StoreError,
    expiring_map::ExpiringMap,
    time_budget::TimeBudget,
};
use crate::clock::Clock;

/// The maximum number of buckets (about eight megabytes), and again of those in each table of overflowed ones. An embedded
/// store gets this many in 16 minutes from 26 failed logins a second.
const MAX_BUCKETS: usize = 50_000;

/// The maximum number of accounts with devices: about four megabytes if each has one device, 16 if each has [`MAX_DEVICES`].
/// It bounds accounts rather than devices, so that filling the table takes as many sign-ups.
const MAX_ACCOUNTS: usize = 20_000;

/// Attempts and devices in memory, which are lost when the process ends.
///
/// When the maximum number of buckets is reached, new ones overflow into a second table of the same size, which evicts
/// those that expire first. So [`reserve`](AttemptStore::reserve) never returns [`ReserveOutcome::Full`], no bucket of the
/// first table is evicted, and each attempt that evicts a bucket of the second has cost its client a password hash.
///
/// The buckets that expire first are those with the fewest and oldest failures, if their limits keep them alike. Therefore
/// the short-lived ones ([`Limit::is_short_lived`]), of addresses, overflow into a table of their own: in one table, the
/// bucket of an account would evict that of the address which the same login has just created.
///
/// Devices have a table of their own, which evicts those of the account whose last login is the oldest.
///
/// [`Limit::is_short_lived`]: super::Limit::is_short_lived
pub struct MemoryAttempts {
    started: Instant,
    clock: Arc<dyn Clock>,
    max_buckets: usize,
    tables: Mutex<Tables>,
}

struct Tables {
    buckets: BucketTable,
    overflow: BucketTable,
    short_lived_overflow: BucketTable,
    /// The devices of each account. An account expires with its newest device.
    devices: ExpiringMap<BucketKey, Vec<KnownDevice>>,
}

type BucketTable = ExpiringMap<BucketId, GcraState>;

/// The name of a limit, and the key of a bucket.
type BucketId = (&'static str, BucketKey);

struct KnownDevice {
    key: BucketKey,
    known_until: Duration,
}

impl MemoryAttempts {
    /// Creates an empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let tables = Tables {
            buckets: ExpiringMap::new(),
            overflow: ExpiringMap::new(),
            short_lived_overflow: ExpiringMap::new(),
            devices: ExpiringMap::new(),
        };
        Self { started: Instant::now(), clock, max_buckets: MAX_BUCKETS, tables: Mutex::new(tables) }
    }

    /// Sets the maximum number of buckets (default 50,000), and of those in each table of overflowed ones.
    #[must_use]
    pub fn with_max_buckets(self, max_buckets: usize) -> Self {
        Self { max_buckets, ..self }
    }

    /// Returns the time since the start, which does not depend on the system clock.
    fn now(&self) -> Duration {
        self.started.elapsed() + self.clock.offset()
    }

    /// Locks the tables and then reads the time, so that times increase in the order of the locks.
    fn lock_now(&self) -> (MutexGuard<'_, Tables>, Duration) {
        let tables = self.tables.lock();
        (tables, self.now())
    }
}

impl Tables {
    /// Returns the state of a bucket that has not expired.
    fn find(&mut self, bucket: &Bucket, now: Duration) -> Option<&mut GcraState> {
        let (buckets, overflow) = self.tables_of(bucket);
        buckets.find_mut(&id(bucket), now).or_else(|| overflow.find_mut(&id(bucket), now))
    }

    /// Returns the table that has a bucket, or the one to create it in.
    fn table_of(&mut self, bucket: &Bucket, max_buckets: usize, now: Duration) -> &mut BucketTable {
        let (buckets, overflow) = self.tables_of(bucket);
        for table in [&mut *buckets, &mut *overflow] {
            table.remove_expired(now);
        }
        if overflow.find_mut(&id(bucket), now).is_some() {
            return overflow;
        }
        if buckets.find_mut(&id(bucket), now).is_some() || buckets.len() < max_buckets {
            return buckets;
        }
        if overflow.len() >= max_buckets {
            overflow.remove_first();
        }
        overflow
    }

    fn remove(&mut self, bucket: &Bucket) {
        let (buckets, overflow) = self.tables_of(bucket);
        buckets.remove(&id(bucket));
        overflow.remove(&id(bucket));
    }

    /// Returns the first table, and the one into which a bucket overflows.
    fn tables_of(&mut self, bucket: &Bucket) -> (&mut BucketTable, &mut BucketTable) {
        let is_short_lived = bucket.limit.is_short_lived();
        let overflow = if is_short_lived { &mut self.short_lived_overflow } else { &mut self.overflow };
        (&mut self.buckets, overflow)
    }

    fn knows(&mut self, device: &Device, now: Duration) -> bool {
        let devices = self.devices.find_mut(&device.account, now).map(|devices| devices.as_slice());
        devices.unwrap_or_default().iter().any(|known| known.key == device.key && known.known_until > now)
    }

    fn remember(&mut self, device: &Device, now: Duration) {
        self.devices.remove_expired(now);
        let mut devices = self.devices.find_mut(&device.account, now).map(std::mem::take).unwrap_or_default();
        devices.retain(|known| known.key != device.key && known.known_until > now);
        // In the order of their logins: the first is the oldest.
        let excess = (devices.len() + 1).saturating_sub(MAX_DEVICES);
        devices.drain(..excess);
        let known_until = now + DEVICE_KNOWN_FOR;
        // Exact: most accounts have one device.
        devices.reserve_exact(1);
        devices.push(KnownDevice { key: device.key, known_until });
        self.devices.insert(device.account, devices, known_until);
        if self.devices.len() > MAX_ACCOUNTS {
            self.devices.remove_first();
        }
    }
}

fn id(bucket: &Bucket) -> BucketId {
    (bucket.limit.name, bucket.key)
}

#[async_trait]
impl AttemptStore for MemoryAttempts {
    async fn reserve(&self, bucket: &Bucket, _: &TimeBudget) -> Result<ReserveOutcome, StoreError> {
        let (mut tables, now) = self.lock_now();
        let mut state = tables.find(bucket, now).copied().unwrap_or_default();
        let outcome = state.reserve(bucket.limit, now);
        if matches!(outcome, ReserveOutcome::Allowed { .. }) {
            let table = tables.table_of(bucket, self.max_buckets, now);
            table.insert(id(bucket), state, state.expires_at(bucket.limit, now));
        }
        Ok(outcome)
    }

    async fn refund(&self, bucket: &Bucket, charge: Duration, _: &TimeBudget) -> Result<(), StoreError> {
        let (mut tables, now) = self.lock_now();
        if let Some(state) = tables.find(bucket, now) {
            state.refund(charge);
            // An attempt without a charge must leave no entry.
            if state.count == 0 {
                tables.remove(bucket);
            }
        }
        Ok(())
    }

    async fn clear(&self, bucket: &Bucket, _: &TimeBudget) -> Result<(), StoreError> {
        self.tables.lock().remove(bucket);
        Ok(())
    }

    async fn knows(&self, device: &Device, _: &TimeBudget) -> Result<bool, StoreError> {
        let (mut tables, now) = self.lock_now();
        Ok(tables.knows(device, now))
    }

    async fn remember(&self, device: &Device, _: &TimeBudget) -> Result<(), StoreError> {
        let (mut tables, now) = self.lock_now();
        tables.remember(device, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::super::attempts::Limit;
    use super::*;
    use crate::clock::SystemClock;

    static LIMIT: Limit = Limit {
        name: "limit",
        charges: &[Duration::from_secs(10)],
        burst: Duration::from_hours(1),
        ttl_per_attempt: Duration::from_hours(24),
        long_ttl_from: u32::MAX,
    };

    /// As the limit of an address: kept for ten seconds after each failure.
    static SHORT_LIVED: Limit = Limit { name: "short_lived", ttl_per_attempt: Duration::ZERO, ..LIMIT };

    struct Counted(MemoryAttempts);

    impl Counted {
        fn with_max_buckets(max_buckets: usize) -> Self {
            Self(MemoryAttempts::new(Arc::new(SystemClock)).with_max_buckets(max_buckets))
        }

        /// Reserves an attempt, and returns the count.
        fn reserve(&self, number: usize) -> u32 {
            self.reserve_in(&bucket(number))
        }

        fn reserve_in(&self, bucket: &Bucket) -> u32 {
            let outcome = self.0.reserve(bucket, &time()).now_or_never().expect("ready").expect("no error");
            let ReserveOutcome::Allowed { count, .. } = outcome else { panic!("not allowed: {outcome:?}") };
            count
        }

        fn refund(&self, number: usize) {
            let (bucket, time) = (bucket(number), time());
            let refunded = self.0.refund(&bucket, LIMIT.charge(1), &time);
            refunded.now_or_never().expect("ready").expect("no error");
        }

        fn remember(&self, account: usize, network: usize) {
            self.0.remember(&device(account, network), &time()).now_or_never().expect("ready").expect("no error");
        }

        fn knows(&self, account: usize, network: usize) -> bool {
            self.0.knows(&device(account, network), &time()).now_or_never().expect("ready").expect("no error")
        }

        /// Returns the number of buckets, and of those that overflowed.
        fn sizes(&self) -> (usize, usize) {
            let tables = self.0.tables.lock();
            (tables.buckets.len(), tables.overflow.len() + tables.short_lived_overflow.len())
        }
    }

    fn time() -> TimeBudget {
        TimeBudget::new(Duration::ZERO)
    }

    fn key(number: usize) -> BucketKey {
        BucketKey((number as u128).to_be_bytes())
    }

    fn bucket(number: usize) -> Bucket {
        Bucket { key: key(number), limit: &LIMIT }
    }

    fn device(account: usize, network: usize) -> Device {
        Device { account: key(account), key: key(network) }
    }

    #[test]
    fn fully_refunded_bucket_is_removed() {
        let counted = Counted::with_max_buckets(1);
        for number in [0, 1] {
            counted.reserve(number);
            counted.reserve(number);
            counted.refund(number);
        }
        assert_eq!(counted.sizes(), (1, 1));

        counted.refund(0);
        counted.refund(1);

        assert_eq!(counted.sizes(), (0, 0));
    }

    #[test]
    fn full_store_evicts_overflowed_buckets_with_fewest_failures() {
        let counted = Counted::with_max_buckets(3);
        for number in 0..5 {
            counted.reserve(number);
        }
        assert_eq!(counted.reserve(3), 2);

        for number in 5..10 {
            counted.reserve(number);
        }

        assert_eq!(counted.sizes(), (3, 3));
        assert_eq!([0, 1, 2, 3].map(|number| counted.reserve(number)), [2, 2, 2, 3]);
        assert_eq!(counted.reserve(4), 1);
    }

    #[test]
    fn address_counts_while_buckets_of_accounts_overflow() {
        let counted = Counted::with_max_buckets(3);
        for number in 0..6 {
            counted.reserve(number);
        }

        // Each failure of the address is one at another account.
        let address = Bucket { limit: &SHORT_LIVED, ..bucket(0) };
        for count in 1..=10 {
            assert_eq!(counted.reserve_in(&address), count);
            counted.reserve(10 + count as usize);
        }

        assert_eq!(counted.sizes(), (3, 3 + 1));
        counted.0.clear(&address, &time()).now_or_never().expect("ready").expect("no error");
        assert_eq!(counted.reserve_in(&address), 1);
    }

    #[test]
    fn short_lived_buckets_overflow_within_their_bound() {
        let counted = Counted::with_max_buckets(3);
        for number in 0..10 {
            counted.reserve_in(&Bucket { limit: &SHORT_LIVED, ..bucket(number) });
        }

        assert_eq!(counted.sizes(), (3, 3));
    }

    #[test]
    fn overflowed_bucket_keeps_counting_when_there_is_space_again() {
        let counted = Counted::with_max_buckets(1);
        counted.reserve(0);
        counted.reserve(1);

        counted.refund(0);

        assert_eq!(counted.reserve(1), 2);
    }

    #[test]
    fn failed_attempts_evict_no_device() {
        let counted = Counted::with_max_buckets(1);
        counted.remember(0, 0);

        for number in 0..10 {
            counted.reserve(number);
        }

        assert!(counted.knows(0, 0));
    }

    #[test]
    fn account_with_the_oldest_login_is_evicted_with_its_devices() {
        let counted = Counted::with_max_buckets(1);
        for account in 0..MAX_ACCOUNTS {
            counted.remember(account, 0);
        }
        counted.remember(0, 1);

        counted.remember(MAX_ACCOUNTS, 0);

        assert!(!counted.knows(1, 0));
        assert!(counted.knows(0, 0) && counted.knows(0, 1) && counted.knows(2, 0) && counted.knows(MAX_ACCOUNTS, 0));
    }

    #[test]
    fn many_logins_to_one_account_use_little_memory() {
        let counted = Counted::with_max_buckets(1);
        counted.remember(0, 0);

        for network in 0..50_000 {
            counted.remember(1, network);
        }

        assert!(counted.knows(0, 0));
        let mut tables = counted.0.tables.lock();
        let devices = tables.devices.find_mut(&key(1), Duration::ZERO).expect("an account");
        assert!(devices.len() == MAX_DEVICES && devices.capacity() == MAX_DEVICES, "{}", devices.capacity());
    }
}
