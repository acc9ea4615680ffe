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

#[tokio::test(start_paused = true)]
async fn connection_with_unread_responses_is_evicted_last() {
    let activity = activity();
    let mut first = activity.request_started();
    let working = activity.request_started();
    tokio::time::advance(Duration::from_mins(1)).await;
    assert_eq!(activity.eviction_priority(), None);

    first.responded();
    tokio::time::advance(Duration::from_millis(900)).await;
    assert_eq!(activity.eviction_priority(), None);
    tokio::time::advance(Duration::from_millis(100)).await;
    assert_eq!(activity.eviction_priority(), Some((EvictionPriority::Unread, Duration::from_secs(1))));

    drop(first);
    assert_eq!(activity.eviction_priority(), None);
    drop(working);
}

#[tokio::test(start_paused = true)]
async fn unread_response_ages_whatever_other_requests_do() {
    let activity = activity();
    let mut unread = activity.request_started();
    unread.responded();
    let begun = Instant::now();
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(1)).await;
        let mut read = activity.request_started();
        read.responded();
    }

    assert_eq!(activity.eviction_priority(), Some((EvictionPriority::Unread, Duration::from_secs(5))));
    let others = async {
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(activity.request_started());
        }
    };
    let closed = activity.run_until_deadline(std::pin::pin!(others)).await;
    assert_eq!((closed, begun.elapsed()), (Err(CloseReason::Stalled), Duration::from_secs(10)));
}

#[test]
fn more_than_eight_unread_rejections_are_not_sent() {
    let activity = activity();
    activity.http2_detected();
    let reject = || {
        let mut request = activity.request_started();
        let is_one_too_many = request.rejected();
        (request, is_one_too_many)
    };
    let mut unread: Vec<_> = (0..MAX_REJECTING).map(|_| reject()).collect();
    assert!(unread.iter().all(|(_, is_one_too_many)| !is_one_too_many));

    for _ in 0..=2 * MAX_ABANDONED {
        assert!(reject().1);
    }

    assert_eq!(activity.state().abandoned, 0);
    unread.pop();
    assert!(!reject().1);
}
