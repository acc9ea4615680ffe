//! Which buckets an attempt is charged to, and how many round trips it waits for.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::time::{Instant, advance, sleep};

use super::{super::limits::SIGN_UPS, *};
use crate::{
    clock::ManualClock,
    keys::testing::shared_keys,
    metrics::Metrics,
    store::{ReserveOutcome, memory::MemoryAttempts},
};

/// How long each call of [`DistantAttempts`] takes.
const ROUND_TRIP: Duration = Duration::from_secs(1);

const HOME: &str = "2001:db8::1";

/// Attempts in memory, each call after a round trip. The time is paused, so the time that an operation takes is the number of
/// calls that it makes one after the other.
struct DistantAttempts {
    memory: MemoryAttempts,
    /// The limit of each bucket that was charged, and not refunded.
    charged: Mutex<Vec<&'static str>>,
}

impl DistantAttempts {
    fn charged(&self) -> Vec<&'static str> {
        let mut charged = self.charged.lock().clone();
        charged.sort_unstable();
        charged
    }

    fn remove_charge(&self, bucket: &Bucket) {
        let mut charged = self.charged.lock();
        let position = charged.iter().position(|name| *name == bucket.limit.name).expect("it was charged");
        charged.remove(position);
    }
}

#[async_trait]
impl AttemptStore for DistantAttempts {
    async fn reserve(&self, bucket: &Bucket, time: &TimeBudget) -> Result<ReserveOutcome, StoreError> {
        sleep(ROUND_TRIP).await;
        let outcome = self.memory.reserve(bucket, time).await?;
        if matches!(outcome, ReserveOutcome::Allowed { .. }) {
            self.charged.lock().push(bucket.limit.name);
        }
        Ok(outcome)
    }

    async fn refund(&self, bucket: &Bucket, charge: Duration, time: &TimeBudget) -> Result<(), StoreError> {
        sleep(ROUND_TRIP).await;
        self.remove_charge(bucket);
        self.memory.refund(bucket, charge, time).await
    }

    async fn clear(&self, bucket: &Bucket, time: &TimeBudget) -> Result<(), StoreError> {
        sleep(ROUND_TRIP).await;
        self.memory.clear(bucket, time).await
    }

    async fn knows(&self, device: &Device, time: &TimeBudget) -> Result<bool, StoreError> {
        sleep(ROUND_TRIP).await;
        self.memory.knows(device, time).await
    }

    async fn remember(&self, device: &Device, time: &TimeBudget) -> Result<(), StoreError> {
        sleep(ROUND_TRIP).await;
        self.memory.remember(device, time).await
    }
}

struct Limited {
    limiter: LoginLimiter,
    store: Arc<DistantAttempts>,
}

impl Limited {
    fn new() -> Self {
        let memory = || MemoryAttempts::new(Arc::new(ManualClock::default()));
        let store = Arc::new(DistantAttempts { memory: memory(), charged: Mutex::default() });
        let shared = Some(Arc::clone(&store) as Arc<dyn AttemptStore>);
        let stores = AttemptStores { shared, local: Arc::new(memory()) };
        let limiter = LoginLimiter::new(stores, shared_keys(), Duration::ZERO, Metrics::new("").limiter);
        Self { limiter, store }
    }

    /// Reserves an attempt. Returns the outcome and the number of round trips that it waited for.
    async fn reserve(&self, subject: AttemptSubject) -> (Result<Reservation, RateLimited>, u128) {
        let (time, start) = (TimeBudget::new(ROUND_TRIP * 100), Instant::now());
        let reserved = self.limiter.reserve(subject, &time).await;
        (reserved, start.elapsed().as_millis() / ROUND_TRIP.as_millis())
    }

    /// Reserves an attempt and settles it. Returns the limit that rejected it, or `None`, and the number of round trips that
    /// the reservation waited for.
    async fn attempt(&self, subject: AttemptSubject, outcome: AttemptOutcome) -> (Option<&'static str>, u128) {
        let (reserved, round_trips) = self.reserve(subject).await;
        match reserved {
            Ok(reservation) => {
                reservation.settle(outcome, &TimeBudget::new(ROUND_TRIP * 100)).await;
                (None, round_trips)
            }
            Err(rate_limited) => (Some(rate_limited.limit), round_trips),
        }
    }

    /// Makes an address a known device of an account.
    async fn remember(&self, email: &str, address: &str) {
        let (rejected, _) = self.attempt(login(email, address), AttemptOutcome::Succeeded).await;
        assert_eq!(rejected, None);
        self.store.charged.lock().clear();
    }

    /// Fails at invented emails until the address is over its limit.
    async fn exhaust(&self, address: &str) {
        for number in 0..100 {
            let email = format!("nobody{number}@example.org");
            let (rejected, _) = self.attempt(login(&email, address), AttemptOutcome::Failed).await;
            assert_eq!(rejected, None, "attempt {number}");
        }
        self.store.charged.lock().clear();
    }
}

fn login(email: &str, address: &str) -> AttemptSubject {
    AttemptSubject::Account(email.parse().expect("an email"), address.parse().expect("an address"))
}

#[tokio::test(start_paused = true)]
async fn login_waits_for_at_most_three_round_trips() {
    let limited = Limited::new();

    let (reserved, round_trips) = limited.reserve(login("ada@example.org", HOME)).await;

    assert!(reserved.is_ok());
    assert_eq!(round_trips, 3);
    assert_eq!(limited.store.charged(), ["account", "address", "address_48", "address_56", "pair"]);
}

#[tokio::test(start_paused = true)]
async fn login_from_ipv4_waits_for_two_round_trips() {
    let limited = Limited::new();

    let (reserved, round_trips) = limited.reserve(login("ada@example.org", "192.0.2.1")).await;

    assert!(reserved.is_ok());
    assert_eq!(round_trips, 2);
    assert_eq!(limited.store.charged(), ["account", "address", "pair"]);
}

#[tokio::test(start_paused = true)]
async fn known_device_is_charged_in_its_own_bucket_only() {
    let limited = Limited::new();
    limited.remember("ada@example.org", HOME).await;

    let (reserved, round_trips) = limited.reserve(login("ada@example.org", HOME)).await;

    assert!(reserved.is_ok());
    assert_eq!(round_trips, 2);
    assert_eq!(limited.store.charged(), ["pair"]);
}

#[tokio::test(start_paused = true)]
async fn known_device_logs_in_from_an_exhausted_address() {
    let limited = Limited::new();
    limited.remember("ada@example.org", HOME).await;
    limited.exhaust(HOME).await;

    let (rejected, round_trips) = limited.attempt(login("ada@example.org", HOME), AttemptOutcome::Failed).await;

    assert_eq!((rejected, round_trips), (None, 2));
    assert_eq!(limited.store.charged(), ["pair"]);
}

#[tokio::test(start_paused = true)]
async fn exhausted_address_charges_no_other_bucket() {
    let limited = Limited::new();
    limited.exhaust(HOME).await;

    let (rejected, round_trips) = limited.attempt(login("ada@example.org", HOME), AttemptOutcome::Failed).await;

    assert_eq!((rejected, round_trips), (Some("address"), 1));
    assert!(limited.store.charged().is_empty());
}

#[tokio::test(start_paused = true)]
async fn exhausted_wide_network_charges_no_account() {
    let limited = Limited::new();
    for network in 0..2 {
        limited.exhaust(&format!("2001:db8:0:{network}::1")).await;
    }

    let (rejected, _) = limited.attempt(login("ada@example.org", "2001:db8:0:2::1"), AttemptOutcome::Failed).await;

    assert_eq!(rejected, Some("address_56"));
    assert!(limited.store.charged().is_empty());
}

#[tokio::test(start_paused = true)]
async fn dropped_login_of_a_known_device_leaves_no_charge() {
    let limited = Limited::new();
    limited.remember("ada@example.org", HOME).await;
    let time = TimeBudget::new(ROUND_TRIP * 100);

    let mut dropped = Box::pin(limited.limiter.reserve(login("ada@example.org", HOME), &time));
    assert!(dropped.as_mut().now_or_never().is_none());
    advance(ROUND_TRIP / 2).await;
    drop(dropped);
    sleep(ROUND_TRIP * 10).await;

    assert!(limited.store.charged().is_empty());
}

#[tokio::test(start_paused = true)]
async fn sign_up_waits_for_two_round_trips() {
    let limited = Limited::new();
    let (email, address) = ("ada@example.org".parse().expect("an email"), HOME.parse().expect("an address"));

    let (reserved, round_trips) = limited.reserve(AttemptSubject::SignUp(email, address)).await;

    assert!(reserved.is_ok());
    assert_eq!(round_trips, 2);
    let [wide, wider] = &SIGN_UPS.wide;
    assert_eq!(limited.store.charged(), [SIGN_UPS.narrow.name, wider.name, wide.name]);
}

#[tokio::test(start_paused = true)]
async fn cost_of_a_comparison_is_settled_with_its_attempt() {
    let limited = Limited::new();
    let time = TimeBudget::new(ROUND_TRIP * 100);
    for outcome in [AttemptOutcome::Failed, AttemptOutcome::Succeeded, AttemptOutcome::Aborted] {
        let email = format!("{outcome:?}@example.org");
        let mut reservation = limited.reserve(login(&email, "192.0.2.1")).await.0.expect("it is allowed");
        assert!(reservation.counts_against_address());
        let cost = AttemptSubject::Cost("192.0.2.1".parse().expect("an address"), 16);
        reservation.absorb(limited.reserve(cost).await.0.expect("it is allowed"));
        assert_eq!(limited.store.charged(), ["account", "address", "imported_hash", "pair"]);

        reservation.settle(outcome, &time).await;

        let charged = limited.store.charged();
        assert_eq!(charged.contains(&"imported_hash"), outcome == AttemptOutcome::Failed, "{charged:?}");
        limited.store.charged.lock().clear();
    }
}

#[tokio::test(start_paused = true)]
async fn kept_charges_of_the_address_are_not_refunded() {
    let limited = Limited::new();
    let mut reservation = limited.reserve(login("ada@example.org", "192.0.2.1")).await.0.expect("it is allowed");

    reservation.keep_address_charges();
    reservation.settle(AttemptOutcome::Aborted, &TimeBudget::new(ROUND_TRIP * 100)).await;

    assert_eq!(limited.store.charged(), ["address"]);
}

#[tokio::test(start_paused = true)]
async fn known_device_does_not_count_against_its_address() {
    let limited = Limited::new();
    limited.remember("ada@example.org", HOME).await;

    let reservation = limited.reserve(login("ada@example.org", HOME)).await.0.expect("it is allowed");

    assert!(!reservation.counts_against_address());
}
