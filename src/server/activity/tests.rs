//! Which connections are evicted, and when a connection is idle.

use super::*;

fn activity() -> Arc<ConnectionActivity> {
    let timeouts = ConnectionTimeouts::of(Duration::from_secs(10), Duration::from_secs(75));
    Arc::new(ConnectionActivity::new(timeouts))
}

async fn priority_after(
    prepare: impl FnOnce(&Arc<ConnectionActivity>),
    age_ms: u64,
) -> Option<(EvictionPriority, Duration)> {
    let activity = activity();
    prepare(&activity);
    tokio::time::advance(Duration::from_millis(age_ms)).await;
    activity.eviction_priority()
}

#[tokio::test(start_paused = true)]
async fn silent_connections_are_evicted_first_then_idle_ones() {
    let responded = |activity: &Arc<ConnectionActivity>| {
        activity.bytes_arrived();
        drop(activity.request_started());
    };
    let mut priorities = [
        priority_after(|activity| activity.bytes_arrived(), 5000).await,
        priority_after(responded, 100).await,
        priority_after(responded, 60_000).await,
        priority_after(|_| {}, 900).await,
        priority_after(|_| {}, 1000).await,
        priority_after(|_| {}, 4000).await,
    ];

    priorities.sort();

    let in_order = priorities.map(|priority| priority.map(|(priority, age)| (priority, age.as_millis())));
    assert_eq!(
        in_order,
        [
            Some((EvictionPriority::SlowHead, 5000)),
            Some((EvictionPriority::Idle, 100)),
            Some((EvictionPriority::Idle, 900)),
            Some((EvictionPriority::Idle, 60_000)),
            Some((EvictionPriority::NoFirstByte, 1000)),
            Some((EvictionPriority::NoFirstByte, 4000)),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn requests_and_heads_that_just_began_are_not_evicted() {
    let with_request = |activity: &Arc<ConnectionActivity>| std::mem::forget(activity.request_started());

    assert_eq!(priority_after(with_request, 60_000).await, None);
    assert_eq!(priority_after(|activity| activity.bytes_arrived(), 900).await, None);
}

#[tokio::test(start_paused = true)]
async fn body_bytes_do_not_count_as_a_request_head() {
    let activity = activity();
    let in_flight = activity.request_started();

    activity.bytes_arrived();
    drop(in_flight);

    assert_eq!(activity.eviction_priority(), Some((EvictionPriority::Idle, Duration::ZERO)));
}

#[tokio::test(start_paused = true)]
async fn connection_is_idle_a_second_after_its_last_response() {
    let activity = activity();
    let in_flight = activity.request_started();
    assert!(tokio::time::timeout(Duration::from_mins(1), activity.idle()).await.is_err(), "a request is in flight");
    drop(in_flight);
    let responded = Instant::now();

    activity.idle().await;

    assert_eq!(responded.elapsed().as_millis(), 1000);
}
