//! No write leaves a store without an administrator who can log in.

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};
use postern::{
    clock::Clock as _,
    model::{
        AccountStatus, AdminReach, AuditSubject, Epoch, EventKind, NewPassword, Role, SessionId, User, UserChange,
    },
    store::{AdminTarget, AdminWrite, CompareAndSet, DeletionMode, OwnDeletion, UserDeletion},
};

use super::{
    audit::event,
    suite::{Fixture, change, hash},
    user_admin::{changed_at, deactivation, demotion, new_email, new_name, promotion, without_password},
};
use crate::support::{LONG, Stores, time, within};

/// A way to remove an administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removal {
    Demotion,
    Deactivation,
    PasswordDisabling,
    Deletion,
    OwnDeletion,
}

impl Removal {
    const ALL: [Self; 5] =
        [Self::Demotion, Self::Deactivation, Self::PasswordDisabling, Self::Deletion, Self::OwnDeletion];

    /// Returns whether the user was removed; otherwise, they are the last administrator.
    async fn of(self, user: &User, stores: &Stores, fixture: &Fixture) -> bool {
        let change = match self {
            Self::Demotion => demotion(),
            Self::Deactivation => deactivation(),
            Self::PasswordDisabling => without_password(),
            Self::Deletion => {
                let outcome = stores.user_admin.delete(&fixture.deletion(&[user]), &time()).await;
                return is_done(&outcome.expect("a response"));
            }
            Self::OwnDeletion => {
                return match stores.users.delete_verified(user, &time()).await.expect("a response") {
                    OwnDeletion::Deleted => true,
                    OwnDeletion::LastAdministrator => false,
                    OwnDeletion::Stale => panic!("stale"),
                };
            }
        };
        let event = fixture.event_about(change.event_kind(), user.id);
        is_done(&changed_at(stores, user.id, &change, &event).await)
    }
}

fn is_done<T: std::fmt::Debug>(outcome: &AdminWrite<T>) -> bool {
    match outcome {
        AdminWrite::Done(_) => true,
        AdminWrite::LastAdministrator => false,
        other => panic!("{other:?}"),
    }
}

impl Fixture {
    /// Returns whether the user is an administrator who can log in.
    async fn administers(&self, user: &User) -> bool {
        let now = self.stores.users.by_id(user.id, &time()).await.expect("a response");
        now.is_some_and(|now| now.role == Role::Administrator && now.is_active() && now.password.is_some())
    }
}

#[tokio::test]
async fn last_administrator_cannot_be_removed_in_any_way() {
    let fixture = Fixture::empty().await;
    let ada = fixture.administrator("ada@example.org").await;
    // Neither of these can log in as an administrator.
    let inactive =
        User { role: Role::Administrator, status: AccountStatus::Inactive, ..fixture.user("inactive@example.org") };
    let without = User { role: Role::Administrator, password: None, ..fixture.user("none@example.org") };
    let member = fixture.user("member@example.org");
    for user in [&inactive, &without, &member] {
        fixture.stores.users.insert(user, &time()).await.expect("a response");
    }

    for removal in Removal::ALL {
        assert!(!removal.of(&ada, &fixture.stores, &fixture).await, "{removal:?}");
    }
    let all = UserDeletion { mode: DeletionMode::DryRun, ..fixture.deletion(&[&ada, &member, &inactive]) };
    let outcome = fixture.stores.user_admin.delete(&all, &time()).await;
    assert_eq!(outcome, Ok(AdminWrite::LastAdministrator));

    assert_eq!((fixture.by_id(&ada).await, fixture.by_id(&member).await), (ada.clone(), member));
    assert_eq!(fixture.stored_events().await, []);
    // Everybody else can be removed.
    for user in [&inactive, &without] {
        assert!(Removal::Deletion.of(user, &fixture.stores, &fixture).await);
    }
}

#[tokio::test]
async fn last_administrator_can_be_changed_otherwise() {
    let fixture = Fixture::empty().await;
    let ada = fixture.administrator("ada@example.org").await;
    let password = UserChange {
        password: Some(NewPassword::Set(hash("set"))),
        epoch: Some(Epoch::random()),
        ..UserChange::default()
    };
    let ended = UserChange { epoch: Some(Epoch::random()), ..UserChange::default() };

    for change in [new_name("Ada King"), new_email("ada@example.com"), promotion(), password, ended] {
        assert!(is_done(&fixture.changed(&ada, change).await));
    }
    assert!(fixture.administers(&ada).await);
}

#[tokio::test]
async fn store_without_administrators_accepts_every_removal() {
    for removal in Removal::ALL {
        let fixture = Fixture::empty().await;
        let ada = fixture.inserted("ada@example.org").await;

        assert!(removal.of(&ada, &fixture.stores, &fixture).await, "{removal:?}");
    }
}

#[tokio::test]
async fn one_of_two_administrators_who_remove_each_other_remains() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    let mut survivor = fixture.administrator("first@example.org").await;
    let pairs = Removal::ALL.into_iter().flat_map(|left| Removal::ALL.map(|right| (left, right)));
    for (round, (left, right)) in std::iter::repeat_n(pairs, 4).flatten().enumerate() {
        let other = fixture.administrator(&format!("admin{round}@example.org")).await;

        let removed = tokio::join!(left.of(&survivor, &fixture.stores, &fixture), right.of(&other, &second, &fixture));

        survivor = match removed {
            (true, false) => other.clone(),
            (false, true) => survivor,
            both => panic!("{left:?} and {right:?}: {both:?}"),
        };
        let administer = (fixture.administers(&survivor).await, fixture.administers(&other).await);
        assert!(administer.0 && (survivor.id == other.id || !administer.1), "{left:?} and {right:?}");
    }
}

#[tokio::test]
async fn overlapping_deletions_leave_one_administrator() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    let mut survivor = fixture.administrator("first@example.org").await;
    for round in 0..20 {
        let other = fixture.administrator(&format!("admin{round}@example.org")).await;
        let mut members = Vec::new();
        for number in 0..6 {
            members.push(fixture.inserted(&format!("member{round}.{number}@example.org")).await);
        }
        let (forth, back): (Vec<_>, Vec<_>) = (members.iter().collect(), members.iter().rev().collect());
        let (left, right) = (
            fixture.deletion(&[&[&survivor][..], &forth].concat()),
            fixture.deletion(&[&back[..], &[&other]].concat()),
        );
        let (left_time, right_time) = (time(), time());

        let (left, right) = tokio::join!(
            fixture.stores.user_admin.delete(&left, &left_time),
            second.user_admin.delete(&right, &right_time),
        );

        survivor = match (left, right) {
            (Ok(AdminWrite::Done(deleted)), Ok(AdminWrite::LastAdministrator)) if deleted.len() == 7 => other,
            (Ok(AdminWrite::LastAdministrator), Ok(AdminWrite::Done(deleted))) if deleted.len() == 7 => survivor,
            other => panic!("{other:?}"),
        };
        assert!(fixture.administers(&survivor).await);
    }
    assert_eq!(fixture.stored_events().await.len(), 20 * 7);
}

#[tokio::test]
async fn demotion_racing_a_promotion_leaves_an_administrator() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    let mut survivor = fixture.administrator("first@example.org").await;
    for round in 0..20 {
        let other = fixture.inserted(&format!("member{round}@example.org")).await;
        let promoted = fixture.event_about(EventKind::AdminUserChanged, other.id);
        let promotion = promotion();

        let (is_removed, promoted) = tokio::join!(
            Removal::Demotion.of(&survivor, &fixture.stores, &fixture),
            changed_at(&second, other.id, &promotion, &promoted),
        );

        assert!(is_done(&promoted));
        if !is_removed {
            assert!(fixture.administers(&survivor).await);
            assert!(Removal::Demotion.of(&survivor, &fixture.stores, &fixture).await);
        }
        survivor = other;
        assert!(fixture.administers(&survivor).await);
    }
}

/// A write on one of two servers, which must not fail.
type Write<'fixture> = BoxFuture<'fixture, ()>;

/// Statements that lock several rows each, in orders that would deadlock if the statements took them as they come.
#[tokio::test]
async fn concurrent_writes_of_many_users_do_not_deadlock() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    let mut administrators = Vec::new();
    for number in 0..3 {
        administrators.push(fixture.administrator(&format!("admin{number}@example.org")).await);
    }
    for round in 0..12 {
        let mut members = Vec::new();
        for number in 0..12 {
            members.push(fixture.inserted(&format!("member{round}.{number}@example.org")).await);
        }
        // The table has the rows of logins in another order than their keys.
        for member in members.iter().rev() {
            logins(&fixture, &fixture.stores, vec![member]).await;
        }
        let mut writes: Vec<Write<'_>> = Vec::new();
        for stores in [&fixture.stores, &second] {
            let (forth, back): (Vec<_>, Vec<_>) = (members.iter().collect(), members.iter().rev().collect());
            for order in [forth, back] {
                writes.push(logins(&fixture, stores, order.clone()).boxed());
                writes.push(deletion(&fixture, stores, order[3..9].to_vec()).boxed());
            }
            for (number, user) in administrators.iter().enumerate() {
                writes.push(demoted_and_promoted(&fixture, stores, user).boxed());
                writes.push(password_changes(stores, &members[number], administrators.get(number)).boxed());
            }
            writes.push(all_sessions_ended(&fixture, stores).boxed());
        }

        within(LONG, "no write waits for ever", join_all(writes)).await;
    }
}

/// Inserts the logins of users as the audit trail does.
async fn logins(fixture: &Fixture, stores: &Stores, users: Vec<&User>) {
    let events: Vec<_> = users.iter().map(|user| fixture.event_about(EventKind::Login, user.id)).collect();
    stores.audit.append(&events, &time()).await.expect("no deadlock");
}

async fn deletion(fixture: &Fixture, stores: &Stores, users: Vec<&User>) {
    stores.user_admin.delete(&fixture.deletion(&users), &time()).await.expect("no deadlock");
}

async fn demoted_and_promoted(fixture: &Fixture, stores: &Stores, user: &User) {
    for change in [demotion(), promotion()] {
        let event = fixture.event_about(change.event_kind(), user.id);
        let target = AdminTarget { id: user.id, reach: AdminReach::AllUsers };
        stores.user_admin.change(target, &change, &event, &time()).await.expect("no deadlock");
    }
}

async fn password_changes(stores: &Stores, member: &User, administrator: Option<&User>) {
    for user in [Some(member), administrator].into_iter().flatten() {
        let user = stores.users.by_id(user.id, &time()).await.expect("a response");
        let Some(user) = user else { continue };
        let new = change("new", SessionId::random());
        let outcome = stores.users.change_password(&user, &new, &time()).await.expect("no deadlock");
        assert!(matches!(outcome, CompareAndSet::Written | CompareAndSet::Stale));
    }
}

async fn all_sessions_ended(fixture: &Fixture, stores: &Stores) {
    let event = event(EventKind::AdminAllSessionsEnded, fixture.clock.now(), AuditSubject::default());
    stores.user_admin.end_all_sessions(Epoch::random(), &event, &time()).await.expect("no deadlock");
}
