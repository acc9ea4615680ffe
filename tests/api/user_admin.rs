//! The use cases of administrators, below the admin API and the command line.

use postern::{
    accounts::{AdminCall, EditedUser, NewUser, UserAdminError, UserEdit, UserRef},
    model::{AccountStatus, AdminReach, AuditEvent, Role, UserId, UserSummary},
    passwords::Password,
    store::{DeletionMode, TimeBudget},
};

use super::Service;
use crate::support::{Fault, PASSWORD, admin_call, renamed, time, with_role, with_status};

/// A call by an API key.
fn limited(time: &TimeBudget) -> AdminCall<'_> {
    AdminCall { reach: AdminReach::MembersOnly, ..admin_call(time) }
}

fn new_user(email: &str) -> NewUser {
    NewUser {
        email: email.parse().expect("an address"),
        email_verified: false,
        name: "Ada Lovelace".parse().expect("a name"),
        role: Role::Member,
        status: AccountStatus::Active,
        password: Some(Password::new(PASSWORD)),
    }
}

fn with_email(email: &str) -> UserEdit {
    UserEdit { email: Some(email.parse().expect("an address")), ..UserEdit::default() }
}

fn details(events: &[AuditEvent]) -> Vec<(&str, Option<&str>)> {
    events.iter().map(|event| (event.kind.name(), event.subject.detail.as_deref())).collect()
}

#[tokio::test]
async fn edit_without_a_change_writes_nothing() {
    let service = Service::start().await;
    let (user_admin, time) = (service.user_admin(), time());
    user_admin.create(new_user("ada@example.org"), &admin_call(&time)).await.expect("a user");
    let user = service.user("ada@example.org").await;
    let same = UserEdit {
        name: Some(user.name.clone()),
        email: Some(user.email.clone()),
        email_verified: Some(false),
        role: Some(Role::Member),
        status: Some(AccountStatus::Active),
    };

    let after = user_admin.edit(&UserRef::Id(user.id), same, &admin_call(&time)).await.expect("a user");

    assert_eq!(after, EditedUser { user: UserSummary::of(&user, None), is_changed: false });
    assert_eq!(service.user("ada@example.org").await, user);
    assert_eq!(details(&service.audited(1).await), [("admin_user_created", None)]);
}

#[tokio::test]
async fn events_name_the_changed_fields_and_the_new_role() {
    let service = Service::start().await;
    let (user_admin, time) = (service.user_admin(), time());
    let who = UserRef::Id(user_admin.create(new_user("ada@example.org"), &admin_call(&time)).await.expect("a user").id);
    let several = UserEdit { status: Some(AccountStatus::Inactive), ..with_email("ada@example.com") };

    user_admin.edit(&who, several, &admin_call(&time)).await.expect("done");
    user_admin.edit(&who, with_role(Role::Administrator), &admin_call(&time)).await.expect("done");
    user_admin.set_password(&who, Password::new("new_password"), &admin_call(&time)).await.expect("done");
    user_admin.disable_password(&who, &admin_call(&time)).await.expect("done");
    user_admin.end_sessions(&who, &admin_call(&time)).await.expect("done");

    let expected = [
        ("admin_user_created", None),
        ("admin_user_deactivated", Some("changed: email, status")),
        ("admin_user_changed", Some("changed: role (administrator)")),
        ("admin_password_set", Some("changed: password")),
        ("admin_password_disabled", Some("changed: password")),
        ("admin_sessions_ended", None),
    ];
    assert_eq!(details(&service.audited(6).await), expected);
}

#[tokio::test]
async fn another_email_is_unverified_unless_the_edit_says_so() {
    let service = Service::start().await;
    let (user_admin, time) = (service.user_admin(), time());
    let new = NewUser { email_verified: true, ..new_user("ada@example.org") };
    let who = UserRef::Id(user_admin.create(new, &admin_call(&time)).await.expect("a user").id);
    let edit = async |edit| user_admin.edit(&who, edit, &admin_call(&time)).await.expect("a user").user.email_verified;

    assert!(edit(with_email("ada@example.org")).await);
    assert!(!edit(with_email("ada@example.com")).await);
    assert!(edit(UserEdit { email_verified: Some(true), ..with_email("ada@example.net") }).await);
    assert!(edit(UserEdit { email_verified: Some(true), ..with_email("ada@example.org") }).await);
    assert!(!edit(UserEdit { email_verified: Some(false), ..UserEdit::default() }).await);
}

#[tokio::test]
async fn user_without_a_password_cannot_log_in_until_one_is_set() {
    let service = Service::start().await;
    let (user_admin, time) = (service.user_admin(), time());
    let new = NewUser { password: None, ..new_user("ada@example.org") };
    let who = UserRef::Id(user_admin.create(new, &admin_call(&time)).await.expect("a user").id);

    service.log_in("ada@example.org", PASSWORD).await.expect_problem(401, "invalid_credentials");
    user_admin.set_password(&who, Password::new(PASSWORD), &admin_call(&time)).await.expect("done");
    let ada = service.logged_in("ada@example.org", PASSWORD).await;

    user_admin.disable_password(&who, &admin_call(&time)).await.expect("done");
    ada.expect_ended().await;
    service.log_in("ada@example.org", PASSWORD).await.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn set_password_is_checked_with_name_and_email() {
    let service = Service::start().await;
    let (user_admin, time) = (service.user_admin(), time());
    let who =
        UserRef::Id(user_admin.create(new_user("lovelace@example.org"), &admin_call(&time)).await.expect("it").id);

    for password in ["lovelace@example.org", "ada lovelace", "12345"] {
        let outcome = user_admin.set_password(&who, Password::new(password), &admin_call(&time)).await;
        assert!(matches!(outcome, Err(UserAdminError::PolicyViolations(_))), "{password}: {outcome:?}");
    }
    let similar = NewUser { password: Some(Password::new("grace@example.org")), ..new_user("grace@example.org") };
    let outcome = user_admin.create(similar, &admin_call(&time)).await;

    assert!(matches!(outcome, Err(UserAdminError::PolicyViolations(_))), "{outcome:?}");
    service.logged_in("lovelace@example.org", PASSWORD).await;
}

#[tokio::test]
async fn limited_caller_neither_makes_nor_changes_administrators() {
    let service = Service::start().await;
    let (user_admin, time) = (service.user_admin(), time());
    let ada = service.signed_up("ada@example.org").await;
    let root = NewUser { role: Role::Administrator, ..new_user("root@example.org") };
    user_admin.create(root, &admin_call(&time)).await.expect("a user");
    let root = service.user("root@example.org").await;
    let session = service.logged_in("root@example.org", PASSWORD).await;
    let (who, member) = (UserRef::Id(root.id), UserRef::Id(service.user(&ada.email).await.id));
    let call = || limited(&time);
    let new = NewUser { role: Role::Administrator, ..new_user("new@example.org") };
    let root_session = user_admin.list_sessions(root.id, &time).await.expect("sessions")[0].id;

    let outcomes = [
        user_admin.create(new, &call()).await.map(drop),
        user_admin.edit(&member, with_role(Role::Administrator), &call()).await.map(drop),
        user_admin.edit(&who, renamed("Mallory"), &call()).await.map(drop),
        // Without a change.
        user_admin.edit(&who, with_status(AccountStatus::Active), &call()).await.map(drop),
        user_admin.set_password(&who, Password::new("other_password"), &call()).await.map(drop),
        user_admin.disable_password(&who, &call()).await.map(drop),
        user_admin.end_sessions(&who, &call()).await.map(drop),
        user_admin.end_session((root.id, root_session), &call()).await,
        user_admin.end_all_sessions(&call()).await.map(drop),
        user_admin.delete(vec![root.id], DeletionMode::Real, &call()).await.map(drop),
    ];

    for (number, outcome) in outcomes.iter().enumerate() {
        assert!(matches!(outcome, Err(UserAdminError::MembersOnly)), "{number}: {outcome:?}");
    }
    assert_eq!(service.user("root@example.org").await, root);
    session.expect_valid().await;
    ada.expect_valid().await;
    user_admin.edit(&member, renamed("Ada King"), &call()).await.expect("a member");
}

#[tokio::test]
async fn deletion_of_several_users_ends_their_sessions() {
    let service = Service::start().await;
    let (user_admin, time) = (service.user_admin(), time());
    let (ada, grace) = (service.signed_up("ada@example.org").await, service.signed_up("grace@example.org").await);
    let ids = [service.user(&ada.email).await.id, service.user(&grace.email).await.id];
    let nobody = UserId::new(service.now());
    let targets = vec![ids[1], nobody, ids[0], ids[1]];

    let would = user_admin.delete(targets.clone(), DeletionMode::DryRun, &admin_call(&time)).await.expect("a response");
    ada.expect_valid().await;
    let deleted = user_admin.delete(targets, DeletionMode::Real, &admin_call(&time)).await.expect("a response");

    for outcome in [would, deleted] {
        assert_eq!((outcome.deleted.len(), outcome.not_found), (2, vec![nobody]));
    }
    ada.expect_ended().await;
    grace.expect_ended().await;
    let none = user_admin.delete(vec![], DeletionMode::Real, &admin_call(&time)).await.expect("a response");
    assert!(none.deleted.is_empty() && none.not_found.is_empty());
}

#[tokio::test]
async fn sessions_end_by_epoch_while_the_session_store_fails() {
    let service = Service::start().await;
    let (user_admin, time) = (service.user_admin(), time());
    let ada = service.signed_up("ada@example.org").await;
    let who = UserRef::Id(service.user(&ada.email).await.id);
    service.counting.set_fault(Fault::FailOn("sessions.remove_ended"));

    user_admin.edit(&who, with_status(AccountStatus::Inactive), &admin_call(&time)).await.expect("done");
    user_admin.edit(&who, with_status(AccountStatus::Active), &admin_call(&time)).await.expect("done");

    ada.expect_ended().await;
}
