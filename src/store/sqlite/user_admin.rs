//! Changes of users by administrators in SQLite. The one writer decides and writes in a transaction, so nothing changes in
//! between.

use async_trait::async_trait;
use rusqlite::{Transaction, named_params};
use time::OffsetDateTime;

use super::{
    administrators::removes_last_administrator,
    audit::append,
    error::STORE,
    store::{SqliteStore, execute, stored_time},
    users::{self, BY_EMAIL, BY_ID, find},
};
use crate::{
    model::{AccountStatus, AdminReach, AuditEvent, Email, Epoch, Name, NewPassword, Role, User, UserChange, UserId},
    store::{
        AdminTarget, AdminWrite, ChangedUser, DeletionMode, Insert, StoreError, TimeBudget, UserAdminStore,
        UserDeletion,
    },
};

const CHANGE: &str = include_str!("../../../sql/sqlite/queries/admin.change.sql");
const END_ALL_SESSIONS: &str = include_str!("../../../sql/sqlite/queries/admin.end_all_sessions.sql");

#[async_trait]
impl UserAdminStore for SqliteStore {
    async fn create(&self, user: &User, event: &AuditEvent, time: &TimeBudget) -> Result<AdminWrite<()>, StoreError> {
        let (user, event) = (user.clone(), event.clone());
        let write = move |transaction: &Transaction<'_>| match users::insert(transaction, &user)? {
            Insert::EmailTaken => Ok(AdminWrite::EmailTaken),
            Insert::Created => record(transaction, &event).map(AdminWrite::Done),
        };
        self.write(time, write).await
    }

    async fn change(
        &self,
        target: AdminTarget,
        change: &UserChange,
        event: &AuditEvent,
        time: &TimeBudget,
    ) -> Result<AdminWrite<ChangedUser>, StoreError> {
        let (change, event) = (change.clone(), event.clone());
        self.write(time, move |transaction| self::change(transaction, target, &change, &event)).await
    }

    async fn delete(&self, deletion: &UserDeletion, time: &TimeBudget) -> Result<AdminWrite<Vec<User>>, StoreError> {
        let deletion = deletion.clone();
        self.write(time, move |transaction| delete(transaction, &deletion)).await
    }

    async fn end_all_sessions(&self, epoch: Epoch, event: &AuditEvent, time: &TimeBudget) -> Result<u64, StoreError> {
        let mut event = event.clone();
        let write = move |transaction: &Transaction<'_>| {
            let users = execute(transaction, END_ALL_SESSIONS, named_params! {":epoch": epoch.0})?;
            event.subject = event.subject.with_detail(format!("users: {users}"));
            record(transaction, &event)?;
            Ok(users)
        };
        self.write(time, write).await
    }
}

fn change(
    transaction: &Transaction<'_>,
    target: AdminTarget,
    change: &UserChange,
    event: &AuditEvent,
) -> Result<AdminWrite<ChangedUser>, StoreError> {
    let Some(former) = by_id(transaction, target.id)? else { return Ok(AdminWrite::NotFound) };
    let is_limited = target.reach == AdminReach::MembersOnly;
    if is_limited && (former.role == Role::Administrator || change.role == Some(Role::Administrator)) {
        return Ok(AdminWrite::MembersOnly);
    }
    if let Some(email) = &change.email {
        let owner = find(transaction, BY_EMAIL, named_params! {":email": email.as_str()})?;
        if owner.is_some_and(|owner| owner.id != former.id) {
            return Ok(AdminWrite::EmailTaken);
        }
    }
    if change.may_remove_administrator() && removes_last_administrator(transaction, &[former.id])? {
        return Ok(AdminWrite::LastAdministrator);
    }
    let (user, last_login) = update(transaction, former.id, change)?;
    record(transaction, event)?;
    Ok(AdminWrite::Done(ChangedUser { former, user, last_login }))
}

/// Returns the user now, and their last login.
fn update(
    transaction: &Transaction<'_>,
    id: UserId,
    change: &UserChange,
) -> Result<(User, Option<OffsetDateTime>), StoreError> {
    let password = match &change.password {
        Some(NewPassword::Set(hash)) => Some(hash.as_phc()),
        Some(NewPassword::Disabled) | None => None,
    };
    let params = named_params! {
        ":id": id.0.as_bytes(),
        ":name": change.name.as_ref().map(Name::as_str),
        ":email": change.email.as_ref().map(Email::as_str),
        ":email_verified": change.email_verified,
        ":role": change.role.map(Role::name),
        ":standing": change.status.map(AccountStatus::name),
        ":sets_password": change.password.is_some(),
        ":password": password,
        ":epoch": change.epoch.map(|epoch| epoch.0),
    };
    let mut statement = transaction.prepare_cached(CHANGE)?;
    let mut rows = statement.query(params)?;
    let row = rows.next()?.ok_or_else(|| StoreError::corrupt(STORE, "no row for the changed user"))?;
    let last_login = row.get::<_, Option<i64>>(10)?.map(stored_time).transpose()?;
    Ok((users::user(row)?, last_login))
}

fn delete(transaction: &Transaction<'_>, deletion: &UserDeletion) -> Result<AdminWrite<Vec<User>>, StoreError> {
    let mut targets = Vec::new();
    for event in &deletion.events {
        let found = event.subject.user.map(|id| by_id(transaction, id)).transpose()?.flatten();
        targets.extend(found.map(|user| (user, event)));
    }
    targets.sort_by_key(|(user, _)| user.id.0);
    if targets.is_empty() {
        return Ok(AdminWrite::NotFound);
    }
    let has_administrator = targets.iter().any(|(user, _)| user.role == Role::Administrator);
    if has_administrator && deletion.reach == AdminReach::MembersOnly {
        return Ok(AdminWrite::MembersOnly);
    }
    let ids: Vec<_> = targets.iter().map(|(user, _)| user.id).collect();
    if removes_last_administrator(transaction, &ids)? {
        return Ok(AdminWrite::LastAdministrator);
    }
    if deletion.mode == DeletionMode::Real {
        for (user, event) in &targets {
            users::delete(transaction, user.id)?;
            record(transaction, event)?;
        }
    }
    Ok(AdminWrite::Done(targets.into_iter().map(|(user, _)| user).collect()))
}

/// Inserts the event of a change, which is undone without it.
fn record(transaction: &Transaction<'_>, event: &AuditEvent) -> Result<(), StoreError> {
    match append(transaction, event)? {
        0 => Err(StoreError::rejected(STORE, "an audit event with this id is stored already")),
        _ => Ok(()),
    }
}

fn by_id(transaction: &Transaction<'_>, id: UserId) -> Result<Option<User>, StoreError> {
    find(transaction, BY_ID, named_params! {":id": id.0.as_bytes()})
}
