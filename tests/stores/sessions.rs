//! The contract of session stores.

use std::time::Duration;

use postern::{
    clock::Clock as _,
    model::{
        AccountStatus, Epoch, FIRST_CURRENT, FIRST_NEXT, KeyTag, LiveSession, NewSession, RefreshOutcome, Rotation,
        Session, SessionId, User,
    },
    store::{LAST_USED_RESOLUTION, Refresh},
};

use super::suite::{DAY, Fixture, is_about, is_kept, new_session};
use crate::support::{LONG, eventually_some, time};

#[tokio::test]
async fn session_is_found_as_it_was_opened() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let new = new_session(&user);

    let session = fixture.stores.sessions.open(&new, &time()).await.expect("a response").session;

    assert_eq!((session.id, session.user, session.epoch), (new.id, new.user, new.epoch));
    assert_eq!((session.current, session.next), (FIRST_CURRENT, FIRST_NEXT));
    assert_eq!((session.next_key, session.client.clone()), (new.next_key, new.client));
    assert_eq!(fixture.resumed(&session).await, Some(LiveSession::from(&session)));
    assert_eq!(fixture.stored(&session).await, Some(session));
}

#[tokio::test]
async fn store_sets_the_times_of_a_session() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;

    let session = fixture.opened(&user).await;

    assert!(is_about(session.created, fixture.clock.now()), "{}", session.created);
    assert_eq!(session.expires - session.created, ::time::Duration::DAY);
    assert_eq!((session.rotated, session.last_used), (session.created, session.created));
}

#[tokio::test]
async fn recorded_authentication_is_found_and_changes_nothing_else() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let (session, other) = (fixture.opened(&user).await, fixture.opened(&user).await);
    assert_eq!(session.authenticated, session.created);
    fixture.clock.advance(Duration::from_secs(30));

    let recorded = fixture.stores.sessions.record_authentication(user.id, session.id, &time()).await;

    let authenticated = recorded.expect("a response").expect("a session");
    assert!(is_about(authenticated, fixture.clock.now()) && authenticated > session.created, "{authenticated}");
    let expected = Session { authenticated, ..session };
    assert_eq!(fixture.stored(&expected).await.as_ref(), Some(&expected));
    assert_eq!(fixture.resumed(&expected).await, Some(LiveSession::from(&expected)));
    assert_eq!(fixture.stored(&other).await.as_ref(), Some(&other));
}

#[tokio::test]
async fn refresh_and_use_are_no_authentication() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;

    fixture.clock.advance(2 * LAST_USED_RESOLUTION);
    fixture.resumed(&session).await.expect("a session");
    fixture.presented(&user, &session, FIRST_NEXT, Rotation::On(KeyTag([1; 4]))).await;

    let found = fixture.resumed(&session).await.expect("a session");
    assert_eq!(found.authenticated, session.created);
}

#[tokio::test]
async fn authentication_of_a_session_that_has_ended_is_not_recorded() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let idle = NewSession { idle: Some(Duration::from_mins(30)), ..new_session(&user) };
    let (ended, unused, expired) =
        (fixture.opened(&user).await, fixture.opened_as(&idle).await, fixture.opened(&user).await);
    let record =
        async |session: SessionId| fixture.stores.sessions.record_authentication(user.id, session, &time()).await;

    fixture.stores.sessions.end(user.id, ended.id, &time()).await.expect("a response");
    assert_eq!(record(ended.id).await, Ok(None));
    assert_eq!(record(SessionId::random()).await, Ok(None));
    fixture.clock.advance(Duration::from_mins(30));
    assert_eq!(record(unused.id).await, Ok(None));
    fixture.clock.advance(DAY);
    assert_eq!(record(expired.id).await, Ok(None));

    assert_eq!(fixture.listed(&user).await, []);
}

#[tokio::test]
async fn authentication_does_not_extend_a_session() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;

    fixture.clock.advance(Duration::from_mins(24 * 60 - 1));
    let recorded = fixture.stores.sessions.record_authentication(user.id, session.id, &time()).await;
    assert!(recorded.is_ok_and(|recorded| recorded.is_some()));
    fixture.clock.advance(Duration::from_mins(1));

    assert_eq!(fixture.resumed(&session).await, None);
}

#[tokio::test]
async fn session_is_found_under_its_own_user_only() {
    let fixture = Fixture::empty().await;
    let (ada, grace) = (fixture.inserted("ada@example.org").await, fixture.inserted("grace@example.org").await);
    let session = fixture.opened(&ada).await;

    assert_eq!(fixture.stores.sessions.touch(grace.id, session.id, &time()).await, Ok(None));
    assert_eq!(fixture.stores.sessions.touch(ada.id, SessionId::random(), &time()).await, Ok(None));
}

#[tokio::test]
async fn session_ends_when_it_expires() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;

    fixture.clock.advance(Duration::from_mins(24 * 60 - 1));
    assert!(fixture.resumed(&session).await.is_some());
    assert!(is_kept(&fixture.refreshed(&user, &session, FIRST_NEXT).await));

    fixture.clock.advance(Duration::from_mins(1));
    assert_eq!(fixture.resumed(&session).await, None);
    assert_eq!(fixture.refreshed(&user, &session, FIRST_NEXT).await, Refresh::NotValid);
}

#[tokio::test]
async fn nothing_extends_a_session() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;

    for _ in 0..23 {
        fixture.clock.advance(Duration::from_hours(1));
        let Refresh::Decided(_, refreshed) = fixture.refreshed(&user, &session, FIRST_NEXT).await else {
            panic!("the session is valid")
        };
        assert_eq!(refreshed.expires, session.expires);
    }
    fixture.clock.advance(Duration::from_hours(1));

    assert_eq!(fixture.resumed(&session).await, None);
}

#[tokio::test]
async fn ending_a_session_twice_is_no_error() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let (session, other) = (fixture.opened(&user).await, fixture.opened(&user).await);

    for ended in [1, 0] {
        assert_eq!(fixture.stores.sessions.end(user.id, session.id, &time()).await, Ok(ended));
        assert_eq!(fixture.resumed(&session).await, None);
    }
    assert_eq!(fixture.stored(&other).await, Some(other));
}

#[tokio::test]
async fn expired_session_cannot_be_ended() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let (session, other) = (fixture.opened(&user).await, fixture.opened(&user).await);

    fixture.clock.advance(DAY);

    assert_eq!(fixture.stores.sessions.end(user.id, session.id, &time()).await, Ok(0));
    assert_eq!(fixture.stores.sessions.remove_ended(&user, None, &time()).await, Ok(0));
    assert_eq!(fixture.resumed(&other).await, None);
}

#[tokio::test]
async fn late_refresh_does_not_revive_an_ended_session() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;
    fixture.clock.advance(2 * LAST_USED_RESOLUTION);
    fixture.stores.sessions.end(user.id, session.id, &time()).await.expect("a response");

    assert_eq!(fixture.refreshed(&user, &session, FIRST_NEXT).await, Refresh::NotValid);

    assert_eq!(fixture.resumed(&session).await, None);
}

#[tokio::test]
async fn refresh_racing_a_logout_leaves_no_session() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    let user = fixture.inserted("ada@example.org").await;
    for _ in 0..8 {
        let session = fixture.opened(&user).await;
        fixture.clock.advance(2 * LAST_USED_RESOLUTION);
        let (end_time, sessions) = (time(), &second.sessions);

        let (_, ended) =
            tokio::join!(fixture.refreshed(&user, &session, FIRST_NEXT), sessions.end(user.id, session.id, &end_time),);

        assert_eq!(ended, Ok(1));
        assert_eq!(fixture.resumed(&session).await, None);
    }
}

#[tokio::test]
async fn late_removal_of_ended_sessions_spares_later_ones() {
    let fixture = Fixture::empty().await;
    let (first, grace) = (fixture.inserted("ada@example.org").await, fixture.inserted("grace@example.org").await);
    let (survivor, ended, of_grace) =
        (fixture.opened(&first).await, fixture.opened(&first).await, fixture.opened(&grace).await);
    // A password change, and a logout everywhere after it.
    let second = User { epoch: Epoch::random(), surviving_session: Some(survivor.id), ..first.clone() };
    let in_second = fixture.opened(&second).await;
    let third = User { epoch: Epoch::random(), surviving_session: None, ..first.clone() };
    let in_third = fixture.opened(&third).await;
    let sessions = &fixture.stores.sessions;

    assert_eq!(sessions.remove_ended(&first, Some(survivor.id), &time()).await, Ok(1));
    assert_eq!(fixture.resumed(&ended).await, None);
    for session in [&survivor, &in_second, &in_third, &of_grace] {
        assert_eq!(fixture.stored(session).await.as_ref(), Some(session));
    }

    assert_eq!(sessions.remove_ended(&second, None, &time()).await, Ok(2));
    for session in [&survivor, &in_second] {
        assert_eq!(fixture.resumed(session).await, None);
    }
    for session in [&in_third, &of_grace] {
        assert_eq!(fixture.stored(session).await.as_ref(), Some(session));
    }
}

#[tokio::test]
async fn session_of_an_earlier_epoch_is_refused_and_kept() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;
    let later = User { epoch: Epoch::random(), ..user.clone() };

    assert_eq!(fixture.refreshed(&later, &session, FIRST_NEXT).await, Refresh::NotValid);

    // The user may have been read stale: with the right epoch, the session is found.
    assert!(is_kept(&fixture.refreshed(&user, &session, FIRST_NEXT).await));
}

#[tokio::test]
async fn only_the_surviving_session_outlives_its_epoch() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let (session, other) = (fixture.opened(&user).await, fixture.opened(&user).await);
    let later = User { epoch: Epoch::random(), surviving_session: Some(session.id), ..user };

    assert!(is_kept(&fixture.refreshed(&later, &session, FIRST_NEXT).await));
    assert_eq!(fixture.refreshed(&later, &other, FIRST_NEXT).await, Refresh::NotValid);
}

#[tokio::test]
async fn no_session_of_an_inactive_user_is_refreshed() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;
    let inactive = User { status: AccountStatus::Inactive, surviving_session: Some(session.id), ..user };

    assert_eq!(fixture.refreshed(&inactive, &session, FIRST_NEXT).await, Refresh::NotValid);
}

#[tokio::test]
async fn without_rotation_current_and_next_token_are_accepted() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;

    for counter in [FIRST_CURRENT, FIRST_NEXT, FIRST_NEXT, FIRST_NEXT + 5] {
        let Refresh::Decided(RefreshOutcome::Kept, granted) = fixture.refreshed(&user, &session, counter).await else {
            panic!("counter {counter} is granted")
        };
        assert_eq!((granted.current, granted.next), (FIRST_CURRENT, FIRST_NEXT));
    }
}

#[tokio::test]
async fn use_is_recorded_once_a_minute() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    for is_refresh in [true, false] {
        let session = fixture.opened(&user).await;
        let make_request = async || {
            if is_refresh {
                fixture.refreshed(&user, &session, FIRST_NEXT).await;
            } else {
                fixture.resumed(&session).await.expect("a session");
            }
        };
        let last_used = async || fixture.stored(&session).await.expect("a session").last_used;

        fixture.clock.advance(Duration::from_secs(55));
        make_request().await;
        assert_eq!(last_used().await, session.last_used);

        fixture.clock.advance(Duration::from_secs(10));
        make_request().await;
        // A store may record it after the response.
        let recorded = async || Some(last_used().await).filter(|recorded| *recorded != session.last_used);
        let recorded = eventually_some(LONG, "the use is recorded", recorded).await;
        assert!(is_about(recorded, fixture.clock.now()), "{recorded}");
        assert!(recorded - session.last_used >= Duration::from_mins(1));
    }
}

#[tokio::test]
async fn listing_sessions_is_no_use_of_them() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;

    fixture.clock.advance(2 * LAST_USED_RESOLUTION);

    for _ in 0..2 {
        assert_eq!(fixture.listed(&user).await, std::slice::from_ref(&session));
    }
}

#[tokio::test]
async fn every_session_of_a_user_is_listed_until_it_ends() {
    let fixture = Fixture::empty().await;
    let (ada, grace) = (fixture.inserted("ada@example.org").await, fixture.inserted("grace@example.org").await);
    let first = fixture.opened(&ada).await;
    fixture.clock.advance(Duration::from_hours(1));
    let (second, third) = (fixture.opened(&ada).await, fixture.opened(&grace).await);

    assert_eq!(fixture.listed(&ada).await, [first.clone(), second.clone()]);
    assert_eq!(fixture.listed(&grace).await, [third]);

    fixture.clock.advance(Duration::from_hours(23));
    assert_eq!(fixture.listed(&ada).await, std::slice::from_ref(&second));
    assert_eq!(fixture.stores.sessions.end(ada.id, second.id, &time()).await, Ok(1));
    assert_eq!(fixture.listed(&ada).await, []);
}

#[tokio::test]
async fn unused_session_ends_and_each_use_extends_it() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let new = || NewSession { idle: Some(Duration::from_mins(30)), ..new_session(&user) };
    let (resumed, refreshed, unused) =
        (fixture.opened_as(&new()).await, fixture.opened_as(&new()).await, fixture.opened_as(&new()).await);

    for _ in 0..3 {
        fixture.clock.advance(Duration::from_mins(29));
        assert!(fixture.resumed(&resumed).await.is_some());
        assert!(is_kept(&fixture.refreshed(&user, &refreshed, FIRST_NEXT).await));
    }

    assert_eq!(fixture.resumed(&unused).await, None);
    assert_eq!(fixture.listed(&user).await.len(), 2);
    assert_eq!(fixture.stores.sessions.end(user.id, unused.id, &time()).await, Ok(0));
    fixture.clock.advance(Duration::from_mins(30));
    assert_eq!(fixture.refreshed(&user, &refreshed, FIRST_NEXT).await, Refresh::NotValid);
    assert_eq!(fixture.resumed(&resumed).await, None);
    assert_eq!(fixture.stores.sessions.remove_ended(&user, None, &time()).await, Ok(0));
}

#[tokio::test]
async fn use_does_not_extend_a_session_beyond_its_end() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened_as(&NewSession { idle: Some(DAY / 2), ..new_session(&user) }).await;

    for _ in 0..3 {
        fixture.clock.advance(DAY / 4);
        assert!(fixture.resumed(&session).await.is_some());
    }
    fixture.clock.advance(DAY / 4);

    assert_eq!(fixture.resumed(&session).await, None);
}
