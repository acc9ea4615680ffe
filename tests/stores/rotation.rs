//! The contract for rotating refresh tokens: the table of docs/sessions.md and its guarantees.

use std::time::Duration;

use postern::{
    clock::Clock as _,
    model::{FIRST_CURRENT, FIRST_NEXT, KeyTag, NewSession, RefreshOutcome, Rotation, Session, User},
    store::{LAST_USED_RESOLUTION, Refresh},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::suite::{DAY, Fixture, is_about, new_session};
use crate::support::time;

const KEY: KeyTag = KeyTag([0x80, 0xff, 7, 0]);
const ON: Rotation = Rotation::On(KEY);

/// Times above and below ten seconds, no sum of which is between nine and twelve.
const STEPS_SECONDS: [u64; 4] = [0, 9, 12, 69];

impl Fixture {
    /// The outcome, and the counters afterwards.
    async fn outcome(
        &self,
        user: &User,
        session: &Session,
        counter: u64,
        rotation: Rotation,
    ) -> Option<(RefreshOutcome, u64, u64)> {
        match self.presented(user, session, counter, rotation).await {
            Refresh::NotValid => None,
            Refresh::Decided(outcome, session) => Some((outcome, session.current, session.next)),
        }
    }
}

#[tokio::test]
async fn each_token_is_exchanged_for_the_next() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;

    for counter in FIRST_NEXT..20 {
        let outcome = fixture.outcome(&user, &session, counter, ON).await;
        assert_eq!(outcome, Some((RefreshOutcome::Next, counter, counter + 1)));
    }

    let session = fixture.stored(&session).await.expect("a session");
    assert_eq!((session.current, session.next, session.next_key), (19, 20, KEY));
    assert!(is_about(session.rotated, fixture.clock.now()), "{}", session.rotated);
}

#[tokio::test]
async fn repeated_token_is_shared_at_once_and_lost_later() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;
    fixture.outcome(&user, &session, 1, ON).await;

    fixture.clock.advance(Duration::from_secs(9));
    assert_eq!(fixture.outcome(&user, &session, 1, ON).await, Some((RefreshOutcome::Shared, 1, 2)));

    fixture.clock.advance(Duration::from_secs(9));
    assert_eq!(fixture.outcome(&user, &session, 1, ON).await, Some((RefreshOutcome::LostResponse, 1, 3)));
    assert_eq!(fixture.outcome(&user, &session, 1, ON).await, Some((RefreshOutcome::Shared, 1, 3)));
    assert_eq!(fixture.outcome(&user, &session, 3, ON).await, Some((RefreshOutcome::Next, 3, 4)));
}

#[tokio::test]
async fn superseded_or_reused_token_ends_the_session_at_once() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    for (stolen, reuse) in [(2, RefreshOutcome::Superseded), (FIRST_CURRENT, RefreshOutcome::Reused)] {
        let (session, other) = (fixture.opened(&user).await, fixture.opened(&user).await);
        fixture.outcome(&user, &session, 1, ON).await;
        fixture.clock.advance(Duration::from_secs(12));
        fixture.outcome(&user, &session, 1, ON).await;

        assert_eq!(fixture.outcome(&user, &session, stolen, ON).await, Some((reuse, 1, 3)));

        assert_eq!(fixture.outcome(&user, &session, 3, ON).await, None);
        assert_eq!(fixture.resumed(&session).await, None);
        assert!(!fixture.listed(&user).await.iter().any(|listed| listed.id == session.id));
        assert!(fixture.resumed(&other).await.is_some());
    }
}

#[tokio::test]
async fn authentic_future_token_is_accepted() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;

    assert_eq!(fixture.outcome(&user, &session, 9, ON).await, Some((RefreshOutcome::Rollback, 9, 10)));

    assert_eq!(fixture.outcome(&user, &session, 9, ON).await, Some((RefreshOutcome::Shared, 9, 10)));
    assert_eq!(fixture.outcome(&user, &session, 10, ON).await, Some((RefreshOutcome::Next, 10, 11)));
}

#[tokio::test]
async fn one_of_many_parallel_refreshes_rotates() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;
    let attempt = postern::store::RefreshAttempt { user, session: session.id, counter: 1, rotation: ON };
    let times: Vec<_> = (0..100).map(|_| time()).collect();

    let calls = times.iter().enumerate().map(|(call, time)| {
        let sessions = if call % 2 == 0 { &fixture.stores.sessions } else { &second.sessions };
        sessions.refresh(&attempt, time)
    });
    let outcomes = futures_util::future::join_all(calls).await;

    let mut rotations = 0;
    for outcome in outcomes {
        let Ok(Refresh::Decided(outcome, session)) = outcome else { panic!("{outcome:?}") };
        assert_eq!((session.current, session.next), (1, 2));
        match outcome {
            RefreshOutcome::Next => rotations += 1,
            RefreshOutcome::Shared => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(rotations, 1);
}

#[tokio::test]
async fn refused_token_is_no_use_of_the_session() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;
    fixture.outcome(&user, &session, 1, ON).await;
    fixture.outcome(&user, &session, 2, ON).await;

    fixture.clock.advance(2 * LAST_USED_RESOLUTION);
    let outcome = fixture.outcome(&user, &session, 1, Rotation::Off).await;

    assert_eq!(outcome, Some((RefreshOutcome::Outdated, 2, 3)));
    assert_eq!(fixture.listed(&user).await[0].last_used, session.last_used);
}

/// The table as code: rows C and 1 to 6.
fn by_the_table(current: u64, next: u64, counter: u64, is_recent: Option<bool>) -> (RefreshOutcome, u64, u64) {
    match is_recent {
        None if counter == current || counter >= next => (RefreshOutcome::Kept, current, next),
        None => (RefreshOutcome::Outdated, current, next),
        Some(_) if counter == next => (RefreshOutcome::Next, counter, next + 1),
        Some(true) if counter == current => (RefreshOutcome::Shared, current, next),
        Some(false) if counter == current => (RefreshOutcome::LostResponse, current, next + 1),
        Some(_) if counter > next => (RefreshOutcome::Rollback, counter, counter + 1),
        Some(_) if counter > current => (RefreshOutcome::Superseded, current, next),
        Some(_) => (RefreshOutcome::Reused, current, next),
    }
}

#[test]
fn every_store_decides_by_the_table() {
    // The distance of the next token from the current counter, the time since the last one, and rotation.
    let attempts =
        proptest::collection::vec((-2_i64..6, prop::sample::select(&STEPS_SECONDS[..]), any::<bool>()), 1..24);
    for_each(&attempts, &async |fixture, user, attempts| {
        let session = fixture.opened_as(&long(user)).await;
        let (mut current, mut next, mut since_rotation) = (FIRST_CURRENT, FIRST_NEXT, 0);
        for (offset, wait, rotates) in attempts {
            fixture.clock.advance(Duration::from_secs(wait));
            since_rotation += wait;
            let counter = current.saturating_add_signed(offset);
            let rotation = if rotates { ON } else { Rotation::Off };

            let expected = by_the_table(current, next, counter, rotates.then_some(since_rotation <= 10));
            prop_assert_eq!(fixture.outcome(user, &session, counter, rotation).await, Some(expected));

            if (current, next) != (expected.1, expected.2) {
                since_rotation = 0;
            }
            (current, next) = (expected.1, expected.2);
            if expected.0.is_reuse() {
                prop_assert_eq!(fixture.outcome(user, &session, next, rotation).await, None);
                break;
            }
        }
        Ok(())
    });
}

/// The result of a request of a client that follows the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It does not reach the store.
    NotAtAll,
    /// It takes effect, and the response is lost.
    ResponseLost,
    /// The response replaces the stored token.
    ResponseReceived,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::NotAtAll), Just(Fate::ResponseLost), Just(Fate::ResponseReceived)]
}

#[test]
fn honest_client_keeps_its_session_if_responses_are_lost() {
    let requests = proptest::collection::vec((fate(), prop::sample::select(&STEPS_SECONDS[..]), any::<bool>()), 1..32);
    for_each(&requests, &async |fixture, user, requests| {
        let session = fixture.opened_as(&long(user)).await;
        let mut stored = session.next;
        for (fate, wait, rotates) in requests {
            fixture.clock.advance(Duration::from_secs(wait));
            if fate == Fate::NotAtAll {
                continue;
            }
            let rotation = if rotates { ON } else { Rotation::Off };
            let refresh = fixture.presented(user, &session, stored, rotation).await;
            let Refresh::Decided(outcome, session) = refresh else { panic!("{refresh:?}") };
            let is_granted = !outcome.is_reuse() && outcome != RefreshOutcome::Outdated;
            prop_assert!(is_granted, "{outcome:?} of {stored} by {session:?}");
            if fate == Fate::ResponseReceived && rotates {
                stored = session.next;
            }
        }
        Ok(())
    });
}

#[test]
fn token_used_by_two_clients_ends_the_session() {
    // The next client, the time since the last request, and whether the response arrives.
    let attempts =
        proptest::collection::vec((0_usize..2, prop::sample::select(&STEPS_SECONDS[..]), any::<bool>()), 1..32);
    for_each(&attempts, &async |fixture, user, attempts| {
        let session = fixture.opened_as(&long(user)).await;
        let mut stored = [session.next; 2];
        let mut last: Option<(usize, bool)> = None;
        let mut displaced = None;
        for (who, wait, has_response) in attempts {
            fixture.clock.advance(Duration::from_secs(wait));
            let refresh = fixture.presented(user, &session, stored[who], ON).await;
            let Refresh::Decided(outcome, refreshed) = refresh else { panic!("{refresh:?}") };

            // The other client was the last one and has the current token; this one comes more than ten seconds later.
            let is_other_displaced = last.is_some_and(|(last, is_ahead)| last != who && is_ahead && wait > 10);
            if displaced == Some(who) {
                prop_assert!(outcome.is_reuse(), "{outcome:?} by {who}, who was displaced");
            }
            if outcome.is_reuse() {
                // Both clients have the same token then, so the session stays valid.
                prop_assert!(last.is_some_and(|(last, _)| last != who) || displaced == Some(who));
                prop_assert_eq!(fixture.outcome(user, &session, stored[1 - who], ON).await, None);
                return Ok(());
            }
            if is_other_displaced {
                displaced = Some(1 - who);
            }
            if has_response {
                stored[who] = refreshed.next;
            }
            last = Some((who, has_response && outcome != RefreshOutcome::Shared));
        }
        Ok(())
    });
}

#[tokio::test]
async fn token_reused_within_ten_seconds_is_shared() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;

    for counter in 1..10 {
        assert_eq!(
            fixture.outcome(&user, &session, counter, ON).await,
            Some((RefreshOutcome::Next, counter, counter + 1))
        );
        fixture.clock.advance(Duration::from_secs(9));
        assert_eq!(
            fixture.outcome(&user, &session, counter, ON).await,
            Some((RefreshOutcome::Shared, counter, counter + 1))
        );
        fixture.clock.advance(Duration::from_secs(70));
    }
}

fn long(user: &User) -> NewSession {
    NewSession { lifetime: 365 * DAY, max_sessions: 1, ..new_session(user) }
}

/// Runs a scenario many times, each in a new session.
fn for_each<S: Strategy>(stories: &S, tell: &impl AsyncFn(&Fixture, &User, S::Value) -> Result<(), TestCaseError>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let fixture = runtime.block_on(Fixture::empty());
    let user = runtime.block_on(fixture.inserted("ada@example.org"));
    let mut runner = TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(stories, |story| runtime.block_on(tell(&fixture, &user, story)));
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
