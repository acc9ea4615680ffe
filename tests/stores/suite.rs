//! The contract of every store, races included.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;

use postern::{
    clock::{Clock as _, ManualClock, from_unix_ms, unix_ms},
    model::{
        AccountStatus, AdminReach, AuditSubject, Client, Epoch, EventKind, FIRST_NEXT, KeyTag, LiveSession, NewSession,
        PasswordHash, RefreshOutcome, Role, Rotation, Session, SessionId, User, UserId,
    },
    store::{
        AdminWrite, CompareAndSet, DeletionMode, Insert, PasswordChange, Refresh, RefreshAttempt, StoreError,
        TimeBudget, UserDeletion, UserUpdate,
    },
};

use super::{Backend, audit::event};
use crate::support::{Backend as _, Stores, time};

pub const DAY: Duration = Duration::from_hours(24);

/// A backend, its stores, and the clock that they share with the test.
pub struct Fixture {
    pub backend: Backend,
    pub stores: Stores,
    pub clock: Arc<ManualClock>,
}

impl Fixture {
    pub async fn empty() -> Self {
        let (backend, clock) = (Backend::empty().await, Arc::new(ManualClock::default()));
        let stores = backend.open(Arc::clone(&clock)).await;
        Self { backend, stores, clock }
    }

    /// Opens the stores of a second server on the same backend.
    pub async fn second(&self) -> Stores {
        self.backend.open(Arc::clone(&self.clock)).await
    }

    pub fn user(&self, email: &str) -> User {
        User {
            id: UserId::new(self.clock.now()),
            email: email.parse().expect("a valid address"),
            email_verified: false,
            name: "Ada Lovelace".parse().expect("a valid name"),
            password: Some(hash("first")),
            status: AccountStatus::Active,
            role: Role::Member,
            epoch: Epoch::random(),
            surviving_session: None,
            // Stores keep at least milliseconds.
            created: from_unix_ms(unix_ms(self.clock.now())).expect("a time within range"),
        }
    }

    pub async fn inserted(&self, email: &str) -> User {
        let user = self.user(email);
        assert_eq!(self.stores.users.insert(&user, &time()).await, Ok(Insert::Created));
        user
    }

    /// Deletes a user as an administrator does.
    pub async fn deleted(&self, id: UserId) {
        let subject = AuditSubject::from(Some(id));
        let events = vec![event(EventKind::AdminUserDeleted, self.clock.now(), subject)];
        let deletion = UserDeletion { events, reach: AdminReach::AllUsers, mode: DeletionMode::Real };
        let outcome = self.stores.user_admin.delete(&deletion, &time()).await;
        assert!(
            matches!(&outcome, Ok(AdminWrite::Done(users)) if users.len() == 1 && users[0].id == id),
            "{outcome:?}"
        );
    }

    pub async fn by_id(&self, user: &User) -> User {
        self.stores.users.by_id(user.id, &time()).await.expect("a response").expect("a user")
    }

    pub async fn opened(&self, user: &User) -> Session {
        self.opened_as(&new_session(user)).await
    }

    pub async fn opened_as(&self, new: &NewSession) -> Session {
        self.stores.sessions.open(new, &time()).await.expect("a response").session
    }

    pub async fn resumed(&self, session: &Session) -> Option<LiveSession> {
        self.stores.sessions.touch(session.user, session.id, &time()).await.expect("a response")
    }

    /// Returns the session as it is stored now.
    pub async fn stored(&self, session: &Session) -> Option<Session> {
        let stored = self.stores.sessions.list(session.user, &time()).await.expect("a response");
        stored.into_iter().find(|stored| stored.id == session.id)
    }

    pub async fn listed(&self, user: &User) -> Vec<Session> {
        let mut sessions = self.stores.sessions.list(user.id, &time()).await.expect("a response");
        sessions.sort_by_key(|session| (session.created, session.id.0));
        sessions
    }

    /// Refreshes a session without rotation.
    pub async fn refreshed(&self, user: &User, session: &Session, counter: u64) -> Refresh {
        self.presented(user, session, counter, Rotation::Off).await
    }

    /// Refreshes a session.
    pub async fn presented(&self, user: &User, session: &Session, counter: u64, rotation: Rotation) -> Refresh {
        let attempt = RefreshAttempt { user: user.clone(), session: session.id, counter, rotation };
        self.stores.sessions.refresh(&attempt, &time()).await.expect("a response")
    }

    pub async fn password_changed(&self, user: &User, text: &str, fixture: SessionId) -> CompareAndSet {
        self.stores.users.change_password(user, &change(text, fixture), &time()).await.expect("a response")
    }
}

/// Tells whether the token was accepted and does not rotate.
pub fn is_kept(refresh: &Refresh) -> bool {
    matches!(refresh, Refresh::Decided(RefreshOutcome::Kept, _))
}

pub fn hash(text: &str) -> PasswordHash {
    PasswordHash::new(format!("$argon2id${text}"))
}

pub fn change(text: &str, surviving_session: SessionId) -> PasswordChange {
    PasswordChange { hash: hash(text), epoch: Epoch::random(), surviving_session: Some(surviving_session) }
}

pub fn new_session(user: &User) -> NewSession {
    NewSession {
        id: SessionId::random(),
        user: user.id,
        epoch: user.epoch,
        next_key: KeyTag([0xff, 0, 1, 0x80]),
        lifetime: DAY,
        idle: None,
        max_sessions: 100,
        valid_epoch: user.epoch,
        surviving_session: None,
        client: Client::new(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]), "curl/8 \"ë\"\n"),
    }
}

/// Tells whether two times are close.
pub fn is_about(time: ::time::OffsetDateTime, expected: ::time::OffsetDateTime) -> bool {
    (time - expected).abs() < Duration::from_secs(30)
}

#[tokio::test]
async fn store_responds_to_a_ping() {
    let fixture = Fixture::empty().await;

    let (users, sessions) = (fixture.stores.users.ping(&time()).await, fixture.stores.sessions.ping(&time()).await);
    assert_eq!((users.map(|pong| pong.warning), sessions.map(|pong| pong.warning)), (Ok(None), Ok(None)));
}

#[tokio::test]
async fn store_call_without_time_is_unavailable() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let none = TimeBudget::new(Duration::ZERO);

    assert!(matches!(fixture.stores.users.by_id(user.id, &none).await, Err(StoreError::Unavailable { .. })));
    let found = fixture.stores.sessions.touch(user.id, SessionId::random(), &none).await;
    assert!(matches!(found, Err(StoreError::Unavailable { .. })));

    // The next call succeeds.
    assert_eq!(fixture.by_id(&user).await, user);
    assert!(fixture.stores.sessions.ping(&time()).await.is_ok());
}

#[tokio::test]
async fn writes_of_one_server_are_read_by_another_at_once() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;

    assert_eq!(second.users.by_id(user.id, &time()).await, Ok(Some(user.clone())));
    assert_eq!(second.sessions.touch(user.id, session.id, &time()).await, Ok(Some(LiveSession::from(&session))));

    second.sessions.end(user.id, session.id, &time()).await.expect("a response");
    assert_eq!(fixture.resumed(&session).await, None);
}

/// Ends something while many callers on two servers look for it again and again, each until it looked after the end, and checks
/// that this look-up found nothing.
async fn none_finds_it_after_its_end(
    servers: [&Stores; 2],
    is_found: impl AsyncFn(&Stores) -> bool,
    end: impl Future<Output = ()>,
) {
    let is_over = AtomicBool::new(false);
    let look = async |stores: &Stores| {
        for _ in 0..100_000 {
            let was_over = is_over.load(Ordering::SeqCst);
            let is_found = is_found(stores).await;
            if was_over {
                assert!(!is_found, "found by a call that followed its end");
                return;
            }
        }
        panic!("it does not end");
    };
    let looking = servers.into_iter().cycle().take(32).map(look);
    let ending = async {
        end.await;
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(join_all(looking), ending);
}

#[tokio::test]
async fn ended_session_is_found_by_no_later_call_of_any_server() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    let user = fixture.inserted("ada@example.org").await;
    for _ in 0..20 {
        let session = fixture.opened(&user).await;
        let is_found = async |stores: &Stores| {
            stores.sessions.touch(user.id, session.id, &time()).await.expect("a response").is_some()
        };
        let end = async {
            fixture.stores.sessions.end(user.id, session.id, &time()).await.expect("a response");
        };
        none_finds_it_after_its_end([&fixture.stores, &second], is_found, end).await;
    }
}

#[tokio::test]
async fn former_epoch_is_found_by_no_later_call_of_any_server() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    for round in 0..20 {
        let user = fixture.inserted(&format!("ada{round}@example.org")).await;
        let is_found = async |stores: &Stores| {
            let found = stores.users.by_id(user.id, &time()).await.expect("a response").expect("a user");
            found.epoch == user.epoch
        };
        let end = async {
            let update = UserUpdate::EndSessions(Epoch::random());
            fixture.stores.users.update(user.id, &update, &time()).await.expect("a response");
        };
        none_finds_it_after_its_end([&fixture.stores, &second], is_found, end).await;
    }
}

#[tokio::test]
async fn login_racing_a_password_change_opens_no_valid_session() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    for round in 0..8 {
        let user = fixture.inserted(&format!("ada{round}@example.org")).await;
        let surviving_session = fixture.opened(&user).await;
        let (change, new, change_time, open_time) =
            (change("second", surviving_session.id), new_session(&user), time(), time());

        // The login has verified the old password, and opens its session in the epoch that it read with the hash.
        let (changed, opened) = tokio::join!(
            fixture.stores.users.change_password(&user, &change, &change_time),
            second.sessions.open(&new, &open_time),
        );

        assert_eq!(changed, Ok(CompareAndSet::Written));
        let (user, session) = (fixture.by_id(&user).await, opened.expect("a response").session);
        assert!(!user.is_session_valid(session.id, session.epoch));
        assert_eq!(fixture.refreshed(&user, &session, FIRST_NEXT).await, Refresh::NotValid);
        assert!(user.is_session_valid(surviving_session.id, surviving_session.epoch));
    }
}

#[tokio::test]
async fn dropped_call_leaves_the_store_usable() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    for _ in 0..40 {
        let (users, sessions) = (&fixture.stores.users, &fixture.stores.sessions);
        let (dropped_time, new) = (time(), new_session(&user));
        tokio::select! {
            biased;
            _ = users.by_id(user.id, &dropped_time) => {}
            _ = sessions.open(&new, &dropped_time) => {}
            () = tokio::task::yield_now() => {}
        }
    }

    assert_eq!(fixture.by_id(&user).await, user);
    let session = fixture.opened(&user).await;
    assert_eq!(fixture.stored(&session).await, Some(session));
}
