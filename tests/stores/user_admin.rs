//! The contract of stores in which administrators change users.

use postern::{
    clock::Clock as _,
    model::{
        AccountStatus, AdminReach, AuditEvent, AuditSubject, Email, Epoch, EventKind, EventPageQuery, FIRST_NEXT,
        NewPassword, Role, SessionId, User, UserChange, UserId,
    },
    store::{
        AdminTarget, AdminWrite, ChangedUser, CompareAndSet, DeletionMode, Insert, Refresh, StoreError, UserDeletion,
        read_events,
    },
};

use super::{
    audit::event,
    suite::{Fixture, hash},
};
use crate::support::{Stores, time};

impl Fixture {
    pub async fn administrator(&self, email: &str) -> User {
        let user = User { role: Role::Administrator, ..self.user(email) };
        assert_eq!(self.stores.users.insert(&user, &time()).await, Ok(Insert::Created));
        user
    }

    pub fn event_about(&self, kind: EventKind, id: UserId) -> AuditEvent {
        event(kind, self.clock.now(), AuditSubject::from(Some(id)))
    }

    pub fn deletion(&self, users: &[&User]) -> UserDeletion {
        let events = users.iter().map(|user| self.event_about(EventKind::AdminUserDeleted, user.id)).collect();
        UserDeletion { events, reach: AdminReach::AllUsers, mode: DeletionMode::Real }
    }

    /// Returns the stored events, newest first.
    pub async fn stored_events(&self) -> Vec<AuditEvent> {
        read_events(&*self.stores.audit_reader, EventPageQuery::default(), 1000, &time()).await.expect("a response")
    }

    /// Changes a user as an administrator does.
    pub async fn changed(&self, user: &User, change: UserChange) -> AdminWrite<ChangedUser> {
        let event = self.event_about(change.event_kind(), user.id);
        changed_at(&self.stores, user.id, &change, &event).await
    }

    async fn expect_changed(&self, user: &User, change: UserChange) -> User {
        match self.changed(user, change).await {
            AdminWrite::Done(ChangedUser { former, user: now, .. }) => {
                assert_eq!(former, *user);
                assert_eq!(self.by_id(user).await, now);
                now
            }
            other => panic!("{other:?}"),
        }
    }
}

pub async fn changed_at(
    stores: &Stores,
    id: UserId,
    change: &UserChange,
    event: &AuditEvent,
) -> AdminWrite<ChangedUser> {
    let target = AdminTarget { id, reach: AdminReach::AllUsers };
    stores.user_admin.change(target, change, event, &time()).await.expect("a response")
}

pub fn demotion() -> UserChange {
    UserChange { role: Some(Role::Member), ..UserChange::default() }
}

pub fn promotion() -> UserChange {
    UserChange { role: Some(Role::Administrator), ..UserChange::default() }
}

pub fn deactivation() -> UserChange {
    UserChange { status: Some(AccountStatus::Inactive), epoch: Some(Epoch::random()), ..UserChange::default() }
}

pub fn without_password() -> UserChange {
    UserChange { password: Some(NewPassword::Disabled), epoch: Some(Epoch::random()), ..UserChange::default() }
}

pub fn new_email(email: &str) -> UserChange {
    UserChange { email: Some(email.parse().expect("an address")), ..UserChange::default() }
}

pub fn new_name(name: &str) -> UserChange {
    UserChange { name: Some(name.parse().expect("a name")), ..UserChange::default() }
}

#[tokio::test]
async fn user_is_created_together_with_the_event() {
    let fixture = Fixture::empty().await;
    let user =
        User { role: Role::Administrator, email_verified: true, password: None, ..fixture.user("ada@example.org") };
    let event = fixture.event_about(EventKind::AdminUserCreated, user.id);

    let outcome = fixture.stores.user_admin.create(&user, &event, &time()).await;

    assert_eq!(outcome, Ok(AdminWrite::Done(())));
    assert_eq!(fixture.by_id(&user).await, user);
    assert_eq!(fixture.stored_events().await, [event]);
}

#[tokio::test]
async fn one_of_two_users_is_created_with_one_email() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    for round in 0..8 {
        let users = [(); 2].map(|()| fixture.user(&format!("ada{round}@example.org")));
        let events = [0, 1].map(|one| fixture.event_about(EventKind::AdminUserCreated, users[one].id));
        let (left, right) = (time(), time());

        let outcomes = tokio::join!(
            fixture.stores.user_admin.create(&users[0], &events[0], &left),
            second.user_admin.create(&users[1], &events[1], &right),
        );

        let winner = match outcomes {
            (Ok(AdminWrite::Done(())), Ok(AdminWrite::EmailTaken)) => 0,
            (Ok(AdminWrite::EmailTaken), Ok(AdminWrite::Done(()))) => 1,
            other => panic!("{other:?}"),
        };
        assert_eq!(fixture.by_id(&users[winner]).await, users[winner]);
        let stored = fixture.stored_events().await;
        assert!(stored.contains(&events[winner]) && !stored.contains(&events[1 - winner]));
    }
}

#[tokio::test]
async fn change_writes_its_fields_and_nothing_else() {
    let fixture = Fixture::empty().await;
    let user = User { surviving_session: Some(SessionId::random()), ..fixture.user("ada@example.org") };
    fixture.stores.users.insert(&user, &time()).await.expect("a response");
    let other = fixture.inserted("grace@example.org").await;

    let renamed = fixture.expect_changed(&user, new_name("Ada King")).await;
    assert_eq!(renamed, User { name: "Ada King".parse().expect("a name"), ..user.clone() });
    let promoted = fixture.expect_changed(&renamed, promotion()).await;
    assert_eq!(promoted, User { role: Role::Administrator, ..renamed });
    let verified = UserChange { email_verified: Some(true), ..UserChange::default() };
    let verified = fixture.expect_changed(&promoted, verified).await;
    assert_eq!(verified, User { email_verified: true, ..promoted });
    let all = UserChange {
        name: Some("Ada".parse().expect("a name")),
        email: Some("ada@example.com".parse().expect("an address")),
        email_verified: Some(true),
        role: Some(Role::Administrator),
        status: Some(AccountStatus::Active),
        password: Some(NewPassword::Set(hash("set"))),
        epoch: Some(Epoch(7)),
    };
    let changed = fixture.expect_changed(&verified, all).await;

    let expected = User {
        name: "Ada".parse().expect("a name"),
        email: "ada@example.com".parse().expect("an address"),
        password: Some(hash("set")),
        epoch: Epoch(7),
        surviving_session: None,
        ..verified
    };
    assert_eq!(changed, expected);
    assert_eq!(fixture.by_id(&other).await, other);
    let mut kinds: Vec<_> = fixture.stored_events().await.iter().map(|event| event.kind).collect();
    kinds.sort_by_key(|kind| kind.name());
    let changed = EventKind::AdminUserChanged;
    assert_eq!(kinds, [EventKind::AdminPasswordSet, changed, changed, EventKind::AdminUserRenamed]);
}

#[tokio::test]
async fn change_with_an_epoch_ends_every_session() {
    let set = UserChange { password: Some(NewPassword::Set(hash("set"))), ..UserChange::default() };
    let active = UserChange { status: Some(AccountStatus::Active), ..UserChange::default() };
    for change in [set, active, UserChange::default()] {
        let fixture = Fixture::empty().await;
        let user = User { surviving_session: Some(SessionId::random()), ..fixture.user("ada@example.org") };
        fixture.stores.users.insert(&user, &time()).await.expect("a response");
        let session = fixture.opened(&user).await;

        let change = UserChange { epoch: Some(Epoch::random()), ..change };
        let after = fixture.expect_changed(&user, change).await;

        assert_eq!(after.surviving_session, None);
        assert_eq!(fixture.refreshed(&after, &session, FIRST_NEXT).await, Refresh::NotValid);
    }
}

#[tokio::test]
async fn another_email_is_not_verified_unless_the_change_says_so() {
    let fixture = Fixture::empty().await;
    let user = User { email_verified: true, ..fixture.user("ada@example.org") };
    fixture.stores.users.insert(&user, &time()).await.expect("a response");

    let same = fixture.expect_changed(&user, new_email("ada@example.org")).await;
    let other = fixture.expect_changed(&same, new_email("ada@example.com")).await;
    let verified = UserChange { email_verified: Some(true), ..new_email("ada@example.net") };
    let verified = fixture.expect_changed(&other, verified).await;

    assert_eq!([same, other, verified].map(|user| user.email_verified), [true, false, true]);
}

#[tokio::test]
async fn rejected_change_writes_neither_user_nor_event() {
    let fixture = Fixture::empty().await;
    let (ada, grace) = (fixture.inserted("ada@example.org").await, fixture.inserted("grace@example.org").await);
    let nobody = fixture.user("nobody@example.org");
    let again = User { id: nobody.id, ..ada.clone() };

    assert_eq!(fixture.changed(&nobody, new_name("Nobody")).await, AdminWrite::NotFound);
    assert_eq!(fixture.changed(&grace, new_email("ada@example.org")).await, AdminWrite::EmailTaken);
    let event = fixture.event_about(EventKind::AdminUserCreated, again.id);
    assert_eq!(fixture.stores.user_admin.create(&again, &event, &time()).await, Ok(AdminWrite::EmailTaken));
    let deletion = fixture.deletion(&[&nobody]);
    assert_eq!(fixture.stores.user_admin.delete(&deletion, &time()).await, Ok(AdminWrite::NotFound));

    assert_eq!((fixture.by_id(&ada).await, fixture.by_id(&grace).await), (ada, grace));
    assert_eq!(fixture.stored_events().await, []);
}

#[tokio::test]
async fn write_whose_event_cannot_be_inserted_changes_nothing() {
    let fixture = Fixture::empty().await;
    let ada = fixture.inserted("ada@example.org").await;
    let admin = &fixture.stores.user_admin;
    // Its id is stored already.
    let event = fixture.event_about(EventKind::AdminUserRenamed, ada.id);
    fixture.stores.audit.append(std::slice::from_ref(&event), &time()).await.expect("a response");
    let grace = fixture.user("grace@example.org");
    let deletion = UserDeletion { events: vec![event.clone()], ..fixture.deletion(&[]) };
    let target = AdminTarget { id: ada.id, reach: AdminReach::AllUsers };

    let rejected = |outcome| matches!(outcome, Err(StoreError::Rejected { .. }));
    assert!(rejected(admin.create(&grace, &event, &time()).await.map(drop)));
    assert!(rejected(admin.change(target, &new_name("Ada King"), &event, &time()).await.map(drop)));
    assert!(rejected(admin.delete(&deletion, &time()).await.map(drop)));
    assert!(rejected(admin.end_all_sessions(Epoch::random(), &event, &time()).await.map(drop)));

    assert_eq!(fixture.by_id(&ada).await, ada);
    assert_eq!(fixture.stores.users.by_email(&grace.email, &time()).await, Ok(None));
    assert_eq!(fixture.stored_events().await, [event]);
}

#[tokio::test]
async fn one_of_two_users_gets_an_email() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    for round in 0..16 {
        let email: Email = format!("taken{round}@example.org").parse().expect("an address");
        let [ada, grace, joan] =
            ["ada", "grace", "joan"].map(|name| fixture.user(&format!("{name}{round}@example.org")));
        for user in [&ada, &grace] {
            fixture.stores.users.insert(user, &time()).await.expect("a response");
        }
        let change = new_email(email.as_str());
        let events = [&ada, &grace].map(|user| fixture.event_about(EventKind::AdminUserChanged, user.id));
        let (joan, sign_up_time) = (User { email: email.clone(), ..joan }, time());

        let (left, right, signed_up) = tokio::join!(
            changed_at(&fixture.stores, ada.id, &change, &events[0]),
            changed_at(&second, grace.id, &change, &events[1]),
            second.users.insert(&joan, &sign_up_time),
        );

        let done = [&left, &right].map(|outcome| match outcome {
            AdminWrite::Done(_) => true,
            AdminWrite::EmailTaken => false,
            other => panic!("{other:?}"),
        });
        let is_signed_up = signed_up == Ok(Insert::Created);
        assert_eq!(done.into_iter().chain([is_signed_up]).filter(|done| *done).count(), 1, "{left:?} {right:?}");
        let owner = fixture.stores.users.by_email(&email, &time()).await.expect("a response").expect("a user").id;
        let winner = if done[0] {
            ada.id
        } else if done[1] {
            grace.id
        } else {
            joan.id
        };
        assert_eq!(owner, winner);
        let stored = fixture.stored_events().await;
        assert_eq!(events.map(|event| stored.contains(&event)), done);
    }
}

#[tokio::test]
async fn deletion_takes_all_existing_users_with_their_events() {
    let fixture = Fixture::empty().await;
    let [ada, grace, joan] = ["ada", "grace", "joan"].map(|name| fixture.user(&format!("{name}@example.org")));
    for user in [&ada, &grace, &joan] {
        fixture.stores.users.insert(user, &time()).await.expect("a response");
    }
    let nobody = fixture.user("nobody@example.org");
    let mut deleted = vec![ada.clone(), joan.clone()];
    deleted.sort_by_key(|user| user.id.0);
    let deletion = fixture.deletion(&[&joan, &nobody, &ada]);

    let dry_run = UserDeletion { mode: DeletionMode::DryRun, ..deletion.clone() };
    let would = fixture.stores.user_admin.delete(&dry_run, &time()).await;
    assert_eq!(would, Ok(AdminWrite::Done(deleted.clone())));
    assert_eq!((fixture.by_id(&ada).await, fixture.stored_events().await), (ada.clone(), vec![]));

    let outcome = fixture.stores.user_admin.delete(&deletion, &time()).await;
    assert_eq!(outcome, Ok(AdminWrite::Done(deleted)));
    for user in [&ada, &joan] {
        assert_eq!(fixture.stores.users.by_id(user.id, &time()).await, Ok(None));
    }
    assert_eq!(fixture.by_id(&grace).await, grace);
    let mut subjects: Vec<_> = fixture.stored_events().await.iter().filter_map(|event| event.subject.user).collect();
    subjects.sort_by_key(|user| user.0);
    let mut expected = [ada.id, joan.id];
    expected.sort_by_key(|user| user.0);
    assert_eq!(subjects, expected);
    // The email is free again.
    fixture.inserted("ada@example.org").await;
}

#[tokio::test]
async fn two_hundred_users_are_deleted_at_once() {
    let fixture = Fixture::empty().await;
    let mut users = Vec::new();
    for number in 0..200 {
        users.push(fixture.inserted(&format!("user{number}@example.org")).await);
    }

    let deletion = fixture.deletion(&users.iter().collect::<Vec<_>>());
    let outcome = fixture.stores.user_admin.delete(&deletion, &time()).await;

    assert!(matches!(outcome, Ok(AdminWrite::Done(deleted)) if deleted.len() == 200));
    assert_eq!(fixture.stored_events().await.len(), 200);
}

#[tokio::test]
async fn all_sessions_of_all_users_end_at_once() {
    let fixture = Fixture::empty().await;
    let mut opened = Vec::new();
    for email in ["ada@example.org", "grace@example.org"] {
        let user = fixture.inserted(email).await;
        let session = fixture.opened(&user).await;
        assert_eq!(fixture.password_changed(&user, "second", session.id).await, CompareAndSet::Written);
        opened.push(session);
    }
    let all_ended = event(EventKind::AdminAllSessionsEnded, fixture.clock.now(), AuditSubject::default());

    let users = fixture.stores.user_admin.end_all_sessions(Epoch::random(), &all_ended, &time()).await;

    assert_eq!(users, Ok(2));
    for session in opened {
        let user = fixture.stores.users.by_id(session.user, &time()).await.expect("a response").expect("a user");
        assert_eq!(fixture.refreshed(&user, &session, FIRST_NEXT).await, Refresh::NotValid);
    }
    let subject = AuditSubject::default().with_detail("users: 2");
    assert_eq!(fixture.stored_events().await, [AuditEvent { subject, ..all_ended }]);
}

#[tokio::test]
async fn limited_caller_changes_members_only() {
    let fixture = Fixture::empty().await;
    let admin = &fixture.stores.user_admin;
    let (ada, grace) = (fixture.administrator("ada@example.org").await, fixture.inserted("grace@example.org").await);
    let reach = AdminReach::MembersOnly;
    let change = async |user: &User, change: &UserChange| {
        let event = fixture.event_about(change.event_kind(), user.id);
        admin.change(AdminTarget { id: user.id, reach }, change, &event, &time()).await.expect("a response")
    };

    let password = UserChange { password: Some(NewPassword::Set(hash("set"))), ..UserChange::default() };
    for refused in [new_name("Ada King"), password, demotion(), new_email("x@example.org"), UserChange::default()] {
        assert_eq!(change(&ada, &refused).await, AdminWrite::MembersOnly);
    }
    assert_eq!(change(&grace, &promotion()).await, AdminWrite::MembersOnly);
    for mode in [DeletionMode::Real, DeletionMode::DryRun] {
        let both = UserDeletion { reach, mode, ..fixture.deletion(&[&ada, &grace]) };
        assert_eq!(admin.delete(&both, &time()).await, Ok(AdminWrite::MembersOnly));
    }
    assert_eq!((fixture.by_id(&ada).await, fixture.by_id(&grace).await), (ada, grace.clone()));
    assert_eq!(fixture.stored_events().await, []);

    assert!(matches!(change(&grace, &new_name("Grace")).await, AdminWrite::Done(_)));
    let one = UserDeletion { reach, ..fixture.deletion(&[&grace]) };
    assert!(matches!(admin.delete(&one, &time()).await, Ok(AdminWrite::Done(_))));
}
