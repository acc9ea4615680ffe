use std::future::pending;

use futures_util::future::join_all;
use proptest::prelude::*;
use tokio::{
    task::{JoinError, JoinHandle},
    time::{advance, timeout},
};

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

/// What the store does with one round trip.
#[derive(Debug, Clone, Copy, Default)]
struct Plan {
    /// The time until the store reads the values, and from then to the response.
    before: Duration,
    after: Duration,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// The store is unavailable.
    Outage,
    /// The store rejects each statement with this key.
    RejectsKey(u8),
    /// The value of this key cannot be read.
    CorruptKey(u8),
    Panic,
    Hang,
}

/// A store with a version for each key.
#[derive(Default)]
struct Store {
    versions: Mutex<HashMap<u8, u64>>,
    plans: Mutex<VecDeque<Plan>>,
    trips: Mutex<Vec<Vec<u8>>>,
}

impl Store {
    fn with_plans(plans: impl IntoIterator<Item = Plan>) -> Arc<Self> {
        Arc::new(Self { plans: Mutex::new(plans.into_iter().collect()), ..Self::default() })
    }

    fn version(&self, key: u8) -> u64 {
        self.versions.lock().get(&key).copied().unwrap_or_default()
    }

    fn write(&self, key: u8) {
        *self.versions.lock().entry(key).or_default() += 1;
    }

    fn trips(&self) -> Vec<Vec<u8>> {
        self.trips.lock().clone()
    }
}

impl RoundTrip for Arc<Store> {
    type Key = u8;
    type Value = u64;

    const STORE: &'static str = "store";

    async fn send(&self, keys: &[u8], time: &TimeBudget) -> Result<Vec<Result<u64, StoreError>>, StoreError> {
        self.trips.lock().push(keys.to_vec());
        let Plan { before, after, fault } = self.plans.lock().pop_front().unwrap_or_default();
        let work = async {
            sleep(before).await;
            let values: Vec<_> = keys.iter().map(|key| self.version(*key)).collect();
            sleep(after).await;
            match fault {
                Fault::Outage => return Err(StoreError::unavailable("store", "outage")),
                Fault::RejectsKey(key) if keys.contains(&key) => {
                    // A store rejects the key whenever it is sent.
                    self.plans.lock().extend(keys.iter().map(|_| Plan { before, after, fault }));
                    return Err(StoreError::rejected("store", "a key"));
                }
                Fault::Panic => panic!("a panic on purpose"),
                Fault::Hang => pending().await,
                _ => {}
            }
            let value = |(key, value): (&u8, u64)| match fault {
                Fault::CorruptKey(corrupt) if corrupt == *key => Err(StoreError::corrupt("store", "a value")),
                _ => Ok(value),
            };
            Ok(keys.iter().zip(values).map(value).collect())
        };
        time.limit("store", work).await
    }
}

fn batcher(store: &Arc<Store>) -> Arc<Batcher<Arc<Store>>> {
    Arc::new(Batcher::new(Arc::clone(store), 1))
}

fn spawn_call(batcher: &Arc<Batcher<Arc<Store>>>, key: u8, time: Duration) -> JoinHandle<Result<u64, StoreError>> {
    let batcher = Arc::clone(batcher);
    tokio::spawn(async move { batcher.call(key, &TimeBudget::new(time)).await })
}

fn takes(milliseconds: u64) -> Plan {
    Plan { after: Duration::from_millis(milliseconds), ..Plan::default() }
}

fn fails(fault: Fault) -> Plan {
    Plan { fault, ..Plan::default() }
}

/// Starts a call whose round trip is under way when this returns, and 3 that wait for the next one.
async fn three_that_wait(batcher: &Arc<Batcher<Arc<Store>>>) -> Vec<JoinHandle<Result<u64, StoreError>>> {
    let mut calls = vec![spawn_call(batcher, 0, MINUTE)];
    advance(Duration::from_millis(1)).await;
    calls.extend([1, 2, 3].map(|key| spawn_call(batcher, key, MINUTE)));
    advance(Duration::from_millis(1)).await;
    calls
}

async fn outcomes(calls: Vec<JoinHandle<Result<u64, StoreError>>>) -> Vec<Result<u64, &'static str>> {
    let all = timeout(2 * MINUTE, join_all(calls)).await.expect("every call ends");
    all.into_iter().map(|call| call.expect("no panic").map_err(|error| error.label())).collect()
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_share_the_next_round_trip() {
    let store = Store::with_plans([takes(10)]);
    let batcher = batcher(&store);

    let calls = three_that_wait(&batcher).await;
    assert_eq!(batcher.waiting(), 3);

    assert_eq!(outcomes(calls).await, [Ok(0); 4]);
    assert_eq!(store.trips(), [vec![0], vec![1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn equal_keys_are_sent_once() {
    let store = Store::with_plans([takes(10)]);
    store.write(7);
    let batcher = batcher(&store);
    let mut calls = vec![spawn_call(&batcher, 0, MINUTE)];
    advance(Duration::from_millis(1)).await;

    calls.extend([7, 8, 7, 7].map(|key| spawn_call(&batcher, key, MINUTE)));

    assert_eq!(outcomes(calls).await, [Ok(0), Ok(1), Ok(0), Ok(1), Ok(1)]);
    assert_eq!(store.trips(), [vec![0], vec![7, 8]]);
}

#[tokio::test(start_paused = true)]
async fn call_that_is_dropped_before_it_is_sent_is_not_sent() {
    let store = Store::with_plans([takes(10)]);
    let batcher = batcher(&store);
    let mut calls = three_that_wait(&batcher).await;

    calls.remove(2).abort();

    assert_eq!(outcomes(calls).await, [Ok(0); 3]);
    assert_eq!(store.trips(), [vec![0], vec![1, 3]]);
}

#[tokio::test(start_paused = true)]
async fn call_that_is_dropped_while_it_runs_a_lane_ends_no_other_call() {
    let store = Store::with_plans([takes(10)]);
    let batcher = batcher(&store);
    let mut calls = three_that_wait(&batcher).await;

    calls.remove(0).abort();

    assert_eq!(outcomes(calls).await, [Ok(0); 3]);
    assert_eq!(store.trips(), [vec![0], vec![1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn equal_keys_have_the_outcome_after_another_call_is_dropped() {
    let store = Store::with_plans([takes(10), takes(100)]);
    store.write(7);
    let batcher = batcher(&store);
    let mut calls = vec![spawn_call(&batcher, 0, MINUTE)];
    advance(Duration::from_millis(1)).await;
    calls.extend([7, 8, 7].map(|key| spawn_call(&batcher, key, MINUTE)));
    sleep(Duration::from_millis(50)).await;

    calls.remove(2).abort();

    assert_eq!(outcomes(calls).await, [Ok(0), Ok(1), Ok(1)]);
    assert_eq!(store.trips(), [vec![0], vec![7, 8]]);
}

#[tokio::test(start_paused = true)]
async fn timeout_of_one_call_is_not_the_error_of_the_others() {
    let store = Store::with_plans([takes(100)]);
    let batcher = batcher(&store);
    let started = Instant::now();
    let calls = vec![spawn_call(&batcher, 0, MINUTE), spawn_call(&batcher, 1, Duration::from_millis(50))];
    let late = spawn_call(&batcher, 2, Duration::ZERO);

    let ended =
        join_all([calls.into_iter().map(|call| async move { (call.await, Instant::now()) })].into_iter().flatten());
    let ended: Vec<_> = ended.await;

    let outcome = |(call, _): &(Result<Result<u64, StoreError>, JoinError>, Instant)| {
        call.as_ref().expect("no panic").clone().map_err(|error| error.label())
    };
    let labels = ended.iter().map(outcome);
    assert_eq!(labels.collect::<Vec<_>>(), [Ok(0), Err("unavailable")]);
    assert!((ended[1].1 - started) < Duration::from_millis(50) + 2 * TICK);
    assert_eq!(outcomes(vec![late]).await, [Err("unavailable")]);
}

#[tokio::test(start_paused = true)]
async fn error_of_one_key_is_not_the_error_of_the_others() {
    for (fault, label) in [(Fault::CorruptKey(2), "corrupt"), (Fault::RejectsKey(2), "rejected")] {
        let store = Store::with_plans([takes(10), fails(fault)]);
        let batcher = batcher(&store);

        let calls = three_that_wait(&batcher).await;

        assert_eq!(outcomes(calls).await, [Ok(0), Ok(0), Err(label), Ok(0)]);
    }
}

#[tokio::test(start_paused = true)]
async fn outage_is_the_outcome_of_its_batch_only() {
    for fault in [Fault::Outage, Fault::Panic] {
        let store = Store::with_plans([takes(10), fails(fault)]);
        let batcher = batcher(&store);
        let calls = three_that_wait(&batcher).await;

        assert_eq!(outcomes(calls).await, [Ok(0), Err("unavailable"), Err("unavailable"), Err("unavailable")]);

        assert_eq!(store.trips().len(), 2, "an outage is not tried for each key");
        assert_eq!(outcomes(vec![spawn_call(&batcher, 1, MINUTE)]).await, [Ok(0)]);
    }
}

#[tokio::test(start_paused = true)]
async fn lane_that_hangs_is_replaced() {
    let store = Store::with_plans([fails(Fault::Hang)]);
    let batcher = batcher(&store);
    let mut calls = three_that_wait(&batcher).await;
    let hanging = calls.remove(0);
    let started = Instant::now();

    assert_eq!(outcomes(calls).await, [Ok(0); 3]);

    assert!(started.elapsed() < REPLACE_AFTER + 2 * TICK, "{:?}", started.elapsed());
    assert!(!hanging.is_finished());
    assert_eq!(outcomes(vec![hanging]).await, [Err("unavailable")]);
    assert_eq!(outcomes(vec![spawn_call(&batcher, 1, MINUTE)]).await, [Ok(0)]);
}

#[tokio::test(start_paused = true)]
async fn store_that_hangs_keeps_a_limited_number_of_lanes() {
    let store = Store::with_plans([fails(Fault::Hang); 100]);
    let batcher = batcher(&store);
    let mut calls = Vec::new();
    for key in 0..30 {
        calls.push(spawn_call(&batcher, key, Duration::from_secs(20)));
        advance(2 * REPLACE_AFTER).await;
    }

    assert!(store.trips().len() <= MAX_REPLACED + 1, "{:?}", store.trips());
    let ended = outcomes(calls).await;
    assert!(ended.iter().all(|outcome| *outcome == Err("unavailable")));
    store.plans.lock().clear();
    assert_eq!(outcomes(vec![spawn_call(&batcher, 1, MINUTE)]).await, [Ok(0)]);
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_limit_are_refused() {
    let store = Store::with_plans([takes(10)]);
    let batcher = batcher(&store);
    let first = spawn_call(&batcher, 0, MINUTE);
    advance(Duration::from_millis(1)).await;
    for _ in 0..MAX_WAITING {
        batcher.send_in_background(1, MINUTE);
    }

    let refused = batcher.call(1, &TimeBudget::new(MINUTE)).await;

    assert_eq!(refused, Err(StoreError::unavailable("store", "too many calls wait")));
    assert_eq!(outcomes(vec![first]).await, [Ok(0)]);
}

/// What a client does, some milliseconds after the step before.
#[derive(Debug, Clone)]
enum Step {
    Write(u8),
    /// A call with a time budget, which its client may give up before.
    Call {
        key: u8,
        time: Duration,
        patience: Duration,
    },
}

fn step() -> impl Strategy<Value = (Duration, Step)> {
    let milliseconds = |range: std::ops::Range<u64>| range.prop_map(Duration::from_millis);
    let call = (0..4_u8, milliseconds(1_u64..800), milliseconds(1_u64..800));
    let step = prop_oneof![
        (0..4_u8).prop_map(Step::Write),
        call.prop_map(|(key, time, patience)| Step::Call { key, time, patience }),
    ];
    (milliseconds(0_u64..30), step)
}

/// The longest round trip of a plan that does not hang.
const LONGEST_TRIP: Duration = Duration::from_millis(2 * 59);

fn plan() -> impl Strategy<Value = Plan> {
    let fault = prop_oneof![
        8 => Just(Fault::None),
        1 => Just(Fault::Outage),
        1 => (0..4_u8).prop_map(Fault::CorruptKey),
        1 => Just(Fault::Panic),
        1 => Just(Fault::Hang),
    ];
    let milliseconds = || (0_u64..60).prop_map(Duration::from_millis);
    (milliseconds(), milliseconds(), fault).prop_map(|(before, after, fault)| Plan { before, after, fault })
}

/// Makes a call, and checks that its outcome is one that the store could have given to this call alone.
async fn checked_call(batcher: Arc<Batcher<Arc<Store>>>, store: Arc<Store>, key: u8, time: Duration, can_fail: bool) {
    let (before, started) = (store.version(key), Instant::now());

    let outcome = batcher.call(key, &TimeBudget::new(time)).await;

    assert!(started.elapsed() <= time + 2 * TICK, "{:?} of {time:?}", started.elapsed());
    // The call before it in the lane may take as long as this one.
    let is_in_time = time > 4 * LONGEST_TRIP;
    assert!(outcome.is_ok() || can_fail || !is_in_time, "{outcome:?}");
    if let Ok(version) = outcome {
        assert!((before..=store.version(key)).contains(&version), "{version} of a key that was {before}");
    }
}

proptest! {
    /// Linearisability: a write that completed before a call began is visible to it, whatever the batches, their errors,
    /// their durations and the calls that are given up.
    #[test]
    fn call_sees_all_that_was_written_before_it(
        steps in prop::collection::vec(step(), 1..80), plans in prop::collection::vec(plan(), 0..40), lanes in 1..4_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let can_fail = plans.iter().any(|plan| plan.fault != Fault::None);
            let store = Store::with_plans(plans);
            let batcher = Arc::new(Batcher::new(Arc::clone(&store), lanes));
            let mut calls = Vec::new();
            for (pause, step) in steps {
                sleep(pause).await;
                match step {
                    Step::Write(key) => store.write(key),
                    Step::Call { key, time, patience } => {
                        let call = checked_call(Arc::clone(&batcher), Arc::clone(&store), key, time, can_fail);
                        calls.push(tokio::spawn(timeout(patience, call)));
                    }
                }
            }
            for call in calls {
                let _ = timeout(MINUTE, call).await.expect("every call ends").expect("a correct outcome");
            }
            // A call that was given up leaves the queue with the next tick of a lane.
            sleep(2 * TICK).await;
            assert_eq!(batcher.waiting(), 0);
        });
    }
}
