//! What a store of sessions promises.

use std::time::Duration;

use postern::{
    accounts::{Epoch, FIRST_HELD, FIRST_SUCCESSOR, SessionId, Standing, User},
    clock::Clock as _,
    store::{LAST_USED_RESOLUTION, Refresh},
};

use super::suite::{DAY, Kept, is_about, new_session, time};

#[tokio::test]
async fn a_session_is_found_as_it_was_opened() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let new = new_session(&user);

    let session = kept.stores.sessions.open(&new, &time()).await.expect("an answer");

    assert_eq!((session.id, session.user, session.epoch), (new.id, new.user, new.epoch));
    assert_eq!((session.held, session.successor), (FIRST_HELD, FIRST_SUCCESSOR));
    assert_eq!((session.successor_key, session.client.clone()), (new.successor_key, new.client));
    assert_eq!(kept.found(&session).await, Some(session));
}

#[tokio::test]
async fn the_store_sets_the_times_of_a_session() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;

    let session = kept.opened(&user).await;

    assert!(is_about(session.created, kept.clock.now()), "{}", session.created);
    assert_eq!(session.expires - session.created, ::time::Duration::DAY);
    assert_eq!((session.rotated, session.last_used), (session.created, session.created));
}

#[tokio::test]
async fn a_session_is_found_under_its_own_user_only() {
    let kept = Kept::empty().await;
    let (ada, grace) = (kept.inserted("ada@example.org").await, kept.inserted("grace@example.org").await);
    let session = kept.opened(&ada).await;

    assert_eq!(kept.stores.sessions.find(grace.id, session.id, &time()).await, Ok(None));
    assert_eq!(kept.stores.sessions.find(ada.id, SessionId::random(), &time()).await, Ok(None));
}

#[tokio::test]
async fn a_session_ends_when_it_expires() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;

    kept.clock.advance(Duration::from_mins(24 * 60 - 1));
    assert_eq!(kept.found(&session).await.as_ref(), Some(&session));
    assert!(matches!(kept.refreshed(&user, &session, FIRST_SUCCESSOR).await, Refresh::Granted(_)));

    kept.clock.advance(Duration::from_mins(1));
    assert_eq!(kept.found(&session).await, None);
    assert_eq!(kept.refreshed(&user, &session, FIRST_SUCCESSOR).await, Refresh::NotInForce);
}

#[tokio::test]
async fn nothing_lengthens_a_session() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;

    for _ in 0..23 {
        kept.clock.advance(Duration::from_hours(1));
        let Refresh::Granted(refreshed) = kept.refreshed(&user, &session, FIRST_SUCCESSOR).await else {
            panic!("the session is in force")
        };
        assert_eq!(refreshed.expires, session.expires);
    }
    kept.clock.advance(Duration::from_hours(1));

    assert_eq!(kept.found(&session).await, None);
}

#[tokio::test]
async fn an_ended_session_is_gone_and_ending_it_again_is_no_error() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let (session, other) = (kept.opened(&user).await, kept.opened(&user).await);

    for ended in [1, 0] {
        assert_eq!(kept.stores.sessions.end(user.id, session.id, &time()).await, Ok(ended));
        assert_eq!(kept.found(&session).await, None);
    }
    assert_eq!(kept.found(&other).await, Some(other));
}

#[tokio::test]
async fn a_session_that_has_expired_cannot_end_any_more() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let (session, other) = (kept.opened(&user).await, kept.opened(&user).await);

    kept.clock.advance(DAY);

    assert_eq!(kept.stores.sessions.end(user.id, session.id, &time()).await, Ok(0));
    assert_eq!(kept.stores.sessions.end_others(user.id, session.id, &time()).await, Ok(0));
    assert_eq!(kept.found(&other).await, None);
}

#[tokio::test]
async fn a_late_refresh_does_not_revive_an_ended_session() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;
    kept.clock.advance(2 * LAST_USED_RESOLUTION);
    kept.stores.sessions.end(user.id, session.id, &time()).await.expect("an answer");

    assert_eq!(kept.refreshed(&user, &session, FIRST_SUCCESSOR).await, Refresh::NotInForce);

    assert_eq!(kept.found(&session).await, None);
}

#[tokio::test]
async fn a_refresh_that_races_a_logout_leaves_no_session() {
    let kept = Kept::empty().await;
    let second = kept.second().await;
    let user = kept.inserted("ada@example.org").await;
    for _ in 0..8 {
        let session = kept.opened(&user).await;
        kept.clock.advance(2 * LAST_USED_RESOLUTION);
        let (end_time, sessions) = (time(), &second.sessions);

        let (_, ended) = tokio::join!(
            kept.refreshed(&user, &session, FIRST_SUCCESSOR),
            sessions.end(user.id, session.id, &end_time),
        );

        assert_eq!(ended, Ok(1));
        assert_eq!(kept.found(&session).await, None);
    }
}

#[tokio::test]
async fn all_sessions_but_one_can_be_ended() {
    let kept = Kept::empty().await;
    let (ada, grace) = (kept.inserted("ada@example.org").await, kept.inserted("grace@example.org").await);
    let survivor = kept.opened(&ada).await;
    let others = [kept.opened(&ada).await, kept.opened(&ada).await];
    let of_grace = kept.opened(&grace).await;

    assert_eq!(kept.stores.sessions.end_others(ada.id, survivor.id, &time()).await, Ok(2));

    for session in others {
        assert_eq!(kept.found(&session).await, None);
    }
    assert_eq!(kept.found(&survivor).await, Some(survivor));
    assert_eq!(kept.found(&of_grace).await, Some(of_grace));
}

#[tokio::test]
async fn a_session_of_an_earlier_epoch_is_refused_and_kept() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;
    let later = User { epoch: Epoch::random(), ..user.clone() };

    assert_eq!(kept.refreshed(&later, &session, FIRST_SUCCESSOR).await, Refresh::NotInForce);

    // The user may have been read stale: whoever reads the right epoch still finds the session.
    assert!(matches!(kept.refreshed(&user, &session, FIRST_SUCCESSOR).await, Refresh::Granted(_)));
}

#[tokio::test]
async fn the_kept_session_outlives_its_epoch_and_no_other_does() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let (session, other) = (kept.opened(&user).await, kept.opened(&user).await);
    let later = User { epoch: Epoch::random(), kept_session: Some(session.id), ..user };

    assert!(matches!(kept.refreshed(&later, &session, FIRST_SUCCESSOR).await, Refresh::Granted(_)));
    assert_eq!(kept.refreshed(&later, &other, FIRST_SUCCESSOR).await, Refresh::NotInForce);
}

#[tokio::test]
async fn no_session_of_an_inactive_user_is_refreshed() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;
    let inactive = User { standing: Standing::Inactive, kept_session: Some(session.id), ..user };

    assert_eq!(kept.refreshed(&inactive, &session, FIRST_SUCCESSOR).await, Refresh::NotInForce);
}

#[tokio::test]
async fn without_rotation_the_held_counter_and_the_successor_are_granted_and_nothing_rotates() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;

    for counter in [FIRST_HELD, FIRST_SUCCESSOR, FIRST_SUCCESSOR, FIRST_SUCCESSOR + 5] {
        let Refresh::Granted(granted) = kept.refreshed(&user, &session, counter).await else {
            panic!("counter {counter} is granted")
        };
        assert_eq!((granted.held, granted.successor), (FIRST_HELD, FIRST_SUCCESSOR));
    }
}

#[tokio::test]
async fn the_last_use_is_noted_to_the_minute() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;

    kept.clock.advance(LAST_USED_RESOLUTION / 4);
    kept.refreshed(&user, &session, FIRST_SUCCESSOR).await;
    assert_eq!(kept.found(&session).await.expect("a session").last_used, session.last_used);

    kept.clock.advance(LAST_USED_RESOLUTION);
    kept.refreshed(&user, &session, FIRST_SUCCESSOR).await;
    let noted = kept.found(&session).await.expect("a session").last_used;
    assert!(is_about(noted, kept.clock.now()), "{noted}");
    assert!(noted - session.last_used >= LAST_USED_RESOLUTION);
}
