//! Counted attempts and known devices.

use std::{sync::Arc, time::Duration};

use postern::{
    clock::ManualClock,
    store::{AttemptStore, Bucket, BucketKey, DEVICE_KNOWN_FOR, Device, GcraState, Limit, MAX_DEVICES, ReserveOutcome},
};
use proptest::{prelude::*, test_runner::TestRunner};

use super::{Backend, suite::Fixture};
use crate::{SmallAttempts as _, support::time};

const SECOND: Duration = Duration::from_secs(1);

/// Two attempts are free, the next one waits two minutes and each further one ten; forgotten after as many days as there
/// are attempts, or after 90 days from five on.
static GROWING: Limit = Limit {
    name: "growing",
    charges: &[Duration::ZERO, Duration::from_mins(2), Duration::from_mins(10)],
    burst: Duration::ZERO,
    ttl_per_attempt: Duration::from_hours(24),
    long_ttl_from: 5,
};

/// Three attempts at once, and then one in ten minutes.
static STEADY: Limit = Limit {
    name: "steady",
    charges: &[Duration::from_mins(10)],
    burst: Duration::from_mins(20),
    ttl_per_attempt: Duration::ZERO,
    long_ttl_from: u32::MAX,
};

fn key() -> BucketKey {
    BucketKey(*uuid::Uuid::new_v4().as_bytes())
}

fn bucket(limit: &'static Limit) -> Bucket {
    Bucket { key: key(), limit }
}

fn device() -> Device {
    Device { account: key(), key: key() }
}

/// A store of attempts, and its clock.
struct Counted {
    attempts: Arc<dyn AttemptStore>,
    clock: Arc<ManualClock>,
}

impl Counted {
    async fn start() -> Self {
        let Fixture { stores, clock, .. } = Fixture::empty().await;
        Self { attempts: stores.attempts.shared.unwrap_or(stores.attempts.local), clock }
    }

    async fn reserve(&self, bucket: &Bucket) -> ReserveOutcome {
        self.attempts.reserve(bucket, &time()).await.expect("a response")
    }

    async fn made(&self, bucket: &Bucket) -> (Duration, u32) {
        match self.reserve(bucket).await {
            ReserveOutcome::Allowed { charge, count } => (charge, count),
            other => panic!("not made: {other:?}"),
        }
    }

    async fn refused(&self, bucket: &Bucket) -> Duration {
        match self.reserve(bucket).await {
            ReserveOutcome::Denied { wait } => wait,
            other => panic!("not refused: {other:?}"),
        }
    }

    async fn refund(&self, bucket: &Bucket, charge: Duration) {
        self.attempts.refund(bucket, charge, &time()).await.expect("a response");
    }

    async fn remember(&self, device: &Device) {
        self.attempts.remember(device, &time()).await.expect("a response");
    }

    async fn knows(&self, device: &Device) -> bool {
        self.attempts.knows(device, &time()).await.expect("a response")
    }
}

#[tokio::test]
async fn attempt_beyond_the_limit_is_refused_until_there_is_room() {
    let counted = Counted::start().await;
    let bucket = bucket(&STEADY);

    for count in 1..=3 {
        assert_eq!(counted.made(&bucket).await, (Duration::from_mins(10), count));
    }
    let wait = counted.refused(&bucket).await;
    assert!(wait > Duration::from_mins(8) && wait <= Duration::from_mins(10), "{wait:?}");

    counted.clock.advance(wait + SECOND);
    counted.made(&bucket).await;
}

#[tokio::test]
async fn refunded_charge_can_be_reserved_again() {
    let counted = Counted::start().await;
    let bucket = bucket(&GROWING);
    counted.made(&bucket).await;
    let (charge, count) = counted.made(&bucket).await;
    assert_eq!((charge, count), (Duration::from_mins(2), 2));
    counted.refused(&bucket).await;

    counted.refund(&bucket, charge).await;

    assert_eq!(counted.made(&bucket).await, (charge, count));
}

#[tokio::test]
async fn emptied_bucket_is_new_and_takes_no_refund() {
    let counted = Counted::start().await;
    let bucket = bucket(&GROWING);
    counted.made(&bucket).await;
    counted.made(&bucket).await;

    counted.attempts.clear(&bucket, &time()).await.expect("a response");
    counted.refund(&bucket, Duration::from_mins(2)).await;

    assert_eq!(counted.made(&bucket).await, (Duration::ZERO, 1));
}

#[tokio::test]
async fn buckets_do_not_count_for_each_other() {
    let counted = Counted::start().await;
    let (one, another) = (bucket(&GROWING), bucket(&GROWING));
    counted.made(&one).await;
    counted.made(&one).await;

    assert_eq!(counted.made(&another).await.1, 1);
    assert_eq!(counted.made(&Bucket { key: one.key, limit: &STEADY }).await.1, 1, "nor one tag under two limits");
}

#[tokio::test]
async fn failures_are_forgotten_and_many_after_90_days() {
    let counted = Counted::start().await;
    let [few, twice, many] = [(); 3].map(|()| bucket(&GROWING));
    for bucket in [&few, &twice, &twice] {
        counted.made(bucket).await;
    }
    for count in 1..=5 {
        assert_eq!(counted.made(&many).await.1, count);
        counted.clock.advance(Duration::from_mins(11));
    }

    counted.clock.advance(GROWING.ttl_per_attempt);
    assert_eq!(counted.made(&few).await.1, 1);
    assert_eq!(counted.made(&twice).await.1, 3, "kept for two days");
    assert_eq!(counted.made(&many).await.1, 6);

    counted.clock.advance(DEVICE_KNOWN_FOR + SECOND);
    assert_eq!(counted.made(&many).await.1, 1);
}

#[tokio::test]
async fn parallel_attempts_stay_within_the_limit() {
    let counted = Arc::new(Counted::start().await);
    let bucket = bucket(&STEADY);
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let counted = Arc::clone(&counted);
        attempts.spawn(async move { counted.reserve(&bucket).await });
    }

    let reservations = attempts.join_all().await;

    assert_eq!(reservations.iter().filter(|made| matches!(made, ReserveOutcome::Allowed { .. })).count(), 3);
}

#[tokio::test]
async fn device_is_known_for_90_days_after_its_last_login() {
    let counted = Counted::start().await;
    let device = device();
    assert!(!counted.knows(&device).await);

    for _ in 0..2 {
        counted.remember(&device).await;
        counted.clock.advance(Duration::from_hours(90 * 24 - 1));
        assert!(counted.knows(&device).await);
    }

    counted.clock.advance(Duration::from_hours(2));
    assert!(!counted.knows(&device).await);
    assert!(!counted.knows(&Device { key: key(), ..device }).await);
}

#[tokio::test]
async fn account_has_the_20_devices_with_the_newest_logins() {
    let counted = Counted::start().await;
    let (account, other) = (key(), device());
    counted.remember(&other).await;
    let devices: Vec<_> = (0..=MAX_DEVICES).map(|_| Device { account, key: key() }).collect();
    let remember = async |device| {
        counted.clock.advance(SECOND);
        counted.remember(device).await;
    };
    for device in &devices[..MAX_DEVICES] {
        remember(device).await;
    }
    remember(&devices[0]).await;
    for device in &devices[..MAX_DEVICES] {
        assert!(counted.knows(device).await);
    }

    remember(&devices[MAX_DEVICES]).await;

    let mut known = Vec::new();
    for device in &devices {
        known.push(counted.knows(device).await);
    }
    assert_eq!(known.iter().filter(|known| **known).count(), 20);
    assert!(!known[1], "the one with the oldest login");
    assert!(counted.knows(&other).await, "that of another account");
    assert!(!counted.knows(&Device { account, ..other }).await);
}

#[tokio::test]
async fn device_expires_although_its_account_has_newer_ones() {
    let counted = Counted::start().await;
    let old = device();
    counted.remember(&old).await;

    counted.clock.advance(DEVICE_KNOWN_FOR / 2);
    counted.remember(&Device { key: key(), ..old }).await;
    assert!(counted.knows(&old).await);
    counted.clock.advance(DEVICE_KNOWN_FOR / 2 + SECOND);

    assert!(!counted.knows(&old).await);
}

#[tokio::test]
async fn full_store_keeps_its_buckets_and_devices() {
    let clock = Arc::new(ManualClock::default());
    let (attempts, _server) = Backend::small_attempts(Arc::clone(&clock)).await;
    let (counted, device) = (Counted { attempts, clock }, device());
    let first = bucket(&STEADY);
    for count in 1..=3 {
        assert_eq!(counted.made(&first).await.1, count);
    }
    counted.remember(&device).await;

    // Many times as many as it may hold.
    for _ in 0..2000 {
        counted.reserve(&bucket(&GROWING)).await;
    }

    counted.refused(&first).await;
    assert!(counted.knows(&device).await);
    counted.remember(&self::device()).await;
}

#[tokio::test]
async fn full_store_has_space_again_after_expiry_or_removal() {
    let clock = Arc::new(ManualClock::default());
    let (attempts, _server) = Backend::small_attempts(Arc::clone(&clock)).await;
    let counted = Counted { attempts, clock };
    let buckets: Vec<_> = (0..2000).map(|_| bucket(&STEADY)).collect();
    let mut made = Vec::new();
    for bucket in &buckets {
        if counted.reserve(bucket).await != ReserveOutcome::Full {
            made.push(*bucket);
        }
    }

    // What the removed ones leave can be used at once, in the same part of the store.
    counted.refund(&made[0], Duration::from_mins(10)).await;
    assert_eq!(counted.made(&made[0]).await.1, 1);
    counted.attempts.clear(&made[0], &time()).await.expect("a response");
    assert_eq!(counted.made(&made[0]).await.1, 1);

    counted.clock.advance(Duration::from_mins(30));
    for bucket in &buckets[..200] {
        assert_eq!(counted.made(bucket).await.1, 1);
    }
}

/// An operation on a bucket.
#[derive(Debug, Clone)]
enum Step {
    Reserve,
    GiveBack,
    Wait(Duration),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Reserve),
        1 => Just(Step::GiveBack),
        // Whole minutes, so that the run time of a test does not count.
        2 => (1_u64..30).prop_map(|minutes| Step::Wait(Duration::from_mins(minutes))),
    ];
    proptest::collection::vec(step, 1..40)
}

/// The time of a store passes during a call, and that of the rule does not: waits differ by less than this.
const ASKING: Duration = Duration::from_secs(50);

#[test]
fn store_and_rule_decide_alike() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let counted = runtime.block_on(Counted::start());
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() });
    let cases = (prop_oneof![Just(&GROWING), Just(&STEADY)], steps());

    let outcome = runner.run(&cases, |(limit, steps)| runtime.block_on(decides_alike(&counted, limit, steps)));

    outcome.expect("one decision");
}

async fn decides_alike(counted: &Counted, limit: &'static Limit, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (bucket, mut level, mut now) = (bucket(limit), GcraState::default(), Duration::from_hours(1));
    let (mut expires_at, mut last_charge) = (now, None);
    for step in steps {
        match step {
            Step::Wait(minutes) => {
                // The time of the calls must not add up to a minute.
                counted.clock.advance(minutes + SECOND);
                now += minutes;
            }
            Step::GiveBack => {
                let Some(charge) = last_charge.take() else { continue };
                counted.refund(&bucket, charge).await;
                level.refund(charge);
            }
            Step::Reserve => {
                if expires_at <= now {
                    level = GcraState::default();
                }
                let decided = (counted.reserve(&bucket).await, level.reserve(limit, now));
                last_charge = agreed(decided)?;
                if last_charge.is_some() {
                    expires_at = level.expires_at(limit, now);
                }
            }
        }
    }
    Ok(())
}

/// Returns the charge of store and rule, which must agree; `None` if both refuse.
fn agreed(decided: (ReserveOutcome, ReserveOutcome)) -> Result<Option<Duration>, TestCaseError> {
    if let (ReserveOutcome::Denied { wait }, ReserveOutcome::Denied { wait: expected }) = decided {
        prop_assert!(wait <= expected && wait + ASKING > expected, "{:?} for {:?}", wait, expected);
        return Ok(None);
    }
    prop_assert_eq!(decided.0, decided.1);
    let ReserveOutcome::Allowed { charge, .. } = decided.0 else { return Ok(None) };
    Ok(Some(charge))
}
