//! The contract of session stores about the number of sessions of a user.

use std::time::Duration;

use postern::{
    model::{Epoch, FIRST_NEXT, NewSession, User},
    store::{OTHER_EPOCH_GRACE, Refresh},
};

use super::suite::{DAY, Fixture, is_kept, new_session};
use crate::support::time;

#[tokio::test]
async fn beyond_the_limit_invalid_sessions_end_first() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let changed_the_password = fixture.opened(&user).await;
    fixture.clock.advance(Duration::from_secs(1));
    let out_of_force = [fixture.opened(&user).await, fixture.opened(&user).await];
    let user = User { epoch: Epoch::random(), surviving_session: Some(changed_the_password.id), ..user };
    let new = || NewSession { max_sessions: 3, surviving_session: user.surviving_session, ..new_session(&user) };

    fixture.clock.advance(OTHER_EPOCH_GRACE);
    let (first, second) = (new(), new());
    let [first, second] = [
        fixture.stores.sessions.open(&first, &time()).await.expect("a response"),
        fixture.stores.sessions.open(&second, &time()).await.expect("a response"),
    ];

    // They had ended already.
    assert_eq!((first.ended, second.ended), (0, 0));
    for session in out_of_force {
        assert_eq!(fixture.resumed(&session).await, None);
    }
    for session in [changed_the_password, first.session, second.session] {
        assert!(fixture.resumed(&session).await.is_some());
    }
}

#[tokio::test]
async fn session_of_the_next_epoch_evicts_by_the_valid_one() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let abandoned = fixture.opened_as(&NewSession { epoch: Epoch::random(), ..new_session(&user) }).await;
    let mut valid = Vec::new();
    for _ in 0..2 {
        fixture.clock.advance(Duration::from_secs(1));
        valid.push(fixture.opened(&user).await);
    }
    let next = User { epoch: Epoch::random(), ..user.clone() };
    let ahead = |max_sessions| NewSession { epoch: next.epoch, max_sessions, ..new_session(&user) };

    // The session that is newer than the valid ones is invalid, and ends first.
    fixture.clock.advance(OTHER_EPOCH_GRACE);
    let (first, second) = (ahead(3), ahead(3));
    let first = fixture.stores.sessions.open(&first, &time()).await.expect("a response");
    fixture.clock.advance(OTHER_EPOCH_GRACE);
    let second = fixture.stores.sessions.open(&second, &time()).await.expect("a response");

    assert_eq!((first.ended, second.ended), (0, 0));
    assert_eq!(fixture.listed(&user).await, [valid[0].clone(), valid[1].clone(), second.session.clone()]);
    assert_eq!((fixture.resumed(&abandoned).await, fixture.resumed(&first.session).await), (None, None));
    assert!(is_kept(&fixture.refreshed(&next, &second.session, FIRST_NEXT).await));
    assert_eq!(fixture.refreshed(&user, &second.session, FIRST_NEXT).await, Refresh::NotValid);

    // Then the oldest valid one.
    fixture.clock.advance(OTHER_EPOCH_GRACE);
    let third = fixture.stores.sessions.open(&ahead(2), &time()).await.expect("a response");
    assert_eq!(third.ended, 1);
    assert_eq!(fixture.listed(&user).await, [valid[1].clone(), third.session]);
}

#[tokio::test]
async fn new_session_of_another_epoch_neither_counts_nor_ends() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let ahead = fixture.opened_as(&NewSession { epoch: Epoch::random(), ..new_session(&user) }).await;
    let log_in = async || {
        let new = NewSession { max_sessions: 1, ..new_session(&user) };
        fixture.stores.sessions.open(&new, &time()).await.expect("a response")
    };

    let first = log_in().await;
    fixture.clock.advance(OTHER_EPOCH_GRACE.saturating_sub(Duration::from_secs(1)));
    let second = log_in().await;
    assert_eq!((first.ended, second.ended), (0, 1));
    assert_eq!(fixture.listed(&user).await, [ahead, second.session]);

    fixture.clock.advance(Duration::from_secs(1));
    let third = log_in().await;
    assert_eq!((third.ended, fixture.listed(&user).await), (1, vec![third.session]));
}

#[tokio::test]
async fn beyond_the_limit_the_oldest_sessions_end_first() {
    let fixture = Fixture::empty().await;
    for (email, lifetime) in [("ada@example.org", DAY), ("grace@example.org", 2 * DAY)] {
        let user = fixture.inserted(email).await;
        let at_most = |max_sessions| NewSession { max_sessions, ..new_session(&user) };
        // Grace's oldest session expires last.
        let oldest = fixture.opened_as(&NewSession { lifetime, ..at_most(3) }).await;
        let mut others = Vec::new();
        for _ in 0..2 {
            fixture.clock.advance(Duration::from_secs(1));
            others.push(fixture.opened_as(&at_most(3)).await);
        }
        assert_eq!(fixture.listed(&user).await.len(), 3);

        fixture.clock.advance(Duration::from_secs(1));
        let opened = fixture.stores.sessions.open(&at_most(3), &time()).await.expect("a response");

        assert_eq!(opened.ended, 1);
        assert_eq!(fixture.resumed(&oldest).await, None);
        assert_eq!(fixture.listed(&user).await, [others[0].clone(), others[1].clone(), opened.session]);

        fixture.clock.advance(Duration::from_secs(1));
        let opened = fixture.stores.sessions.open(&at_most(1), &time()).await.expect("a response");
        assert_eq!((opened.ended, fixture.listed(&user).await), (3, vec![opened.session]));
    }
}

#[tokio::test]
async fn limit_ignores_ended_sessions_and_other_users() {
    let fixture = Fixture::empty().await;
    let (ada, grace) = (fixture.inserted("ada@example.org").await, fixture.inserted("grace@example.org").await);
    let of_grace = fixture.opened(&grace).await;
    let idle = NewSession { idle: Some(Duration::from_mins(2)), ..new_session(&ada) };
    fixture.opened_as(&idle).await;
    fixture.clock.advance(Duration::from_mins(3));

    let mut sessions = Vec::new();
    for _ in 0..3 {
        let new = NewSession { max_sessions: 2, ..new_session(&ada) };
        let opened = fixture.stores.sessions.open(&new, &time()).await.expect("a response");
        assert_eq!(opened.ended, 0);
        sessions.push(opened.session);
        if let [_, ended] = sessions.as_slice() {
            assert_eq!(fixture.stores.sessions.end(ada.id, ended.id, &time()).await, Ok(1));
        }
    }

    assert!(fixture.resumed(&sessions[0]).await.is_some());
    assert!(fixture.resumed(&of_grace).await.is_some());
}
