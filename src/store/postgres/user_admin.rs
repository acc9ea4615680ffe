//! Changes of users by administrators in PostgreSQL.

use std::slice;

use async_trait::async_trait;
use tokio_postgres::{Row, types::ToSql};

use super::{
    error::STORE,
    event_columns::EventColumns,
    rows::{column, user},
    store::PostgresStore,
    user_columns::UserColumns,
};
use crate::{
    model::{AccountStatus, AdminReach, AuditEvent, Email, Epoch, Name, NewPassword, Role, User, UserChange},
    store::{AdminTarget, AdminWrite, ChangedUser, DeletionMode, StoreError, TimeBudget, UserAdminStore, UserDeletion},
};

const CREATE: &str = include_str!("../../../sql/postgres/queries/admin.create.sql");
const CHANGE: &str = include_str!("../../../sql/postgres/queries/admin.change.sql");
const DELETE: &str = include_str!("../../../sql/postgres/queries/admin.delete.sql");
const END_ALL_SESSIONS: &str = include_str!("../../../sql/postgres/queries/admin.end_all_sessions.sql");

type Params<'values> = Vec<&'values (dyn ToSql + Sync)>;

#[async_trait]
impl UserAdminStore for PostgresStore {
    async fn create(&self, user: &User, event: &AuditEvent, time: &TimeBudget) -> Result<AdminWrite<()>, StoreError> {
        let (user, event) = (UserColumns::of(user), EventColumns::of(slice::from_ref(event)));
        let params: Params<'_> = user.params().into_iter().chain(event.params()).collect();
        let rows = self.access.query(CREATE, &params, time).await?;
        Ok(if rows.is_empty() { AdminWrite::EmailTaken } else { AdminWrite::Done(()) })
    }

    async fn change(
        &self,
        target: AdminTarget,
        change: &UserChange,
        event: &AuditEvent,
        time: &TimeBudget,
    ) -> Result<AdminWrite<ChangedUser>, StoreError> {
        let (sets_password, password) = match &change.password {
            Some(NewPassword::Set(hash)) => (true, Some(hash.as_phc())),
            Some(NewPassword::Disabled) => (true, None),
            None => (false, None),
        };
        let (name, email) = (change.name.as_ref().map(Name::as_str), change.email.as_ref().map(Email::as_str));
        let (role, status) = (change.role.map(Role::name), change.status.map(AccountStatus::name));
        let (epoch, event) = (change.epoch.map(|epoch| epoch.0), EventColumns::of(slice::from_ref(event)));
        let columns: [&(dyn ToSql + Sync); 11] = [
            &target.id.0,
            &change.may_remove_administrator(),
            &is_limited(target.reach),
            &name,
            &email,
            &change.email_verified,
            &role,
            &status,
            &sets_password,
            &password,
            &epoch,
        ];
        let params: Params<'_> = columns.into_iter().chain(event.params()).collect();
        match self.access.query_unless_email_taken(CHANGE, &params, time).await? {
            None => Ok(AdminWrite::EmailTaken),
            Some(rows) => changed(&rows),
        }
    }

    async fn delete(&self, deletion: &UserDeletion, time: &TimeBudget) -> Result<AdminWrite<Vec<User>>, StoreError> {
        let events = EventColumns::of(&deletion.events);
        let (is_limited, is_dry_run) = (is_limited(deletion.reach), deletion.mode == DeletionMode::DryRun);
        let flags: [&(dyn ToSql + Sync); 2] = [&is_limited, &is_dry_run];
        let params: Params<'_> = events.params().into_iter().chain(flags).collect();
        let rows = self.access.query(DELETE, &params, time).await?;
        let done = || rows.iter().map(user).collect();
        outcome(rows.first(), done)
    }

    async fn end_all_sessions(&self, epoch: Epoch, event: &AuditEvent, time: &TimeBudget) -> Result<u64, StoreError> {
        let event = EventColumns::of(slice::from_ref(event));
        let epoch: [&(dyn ToSql + Sync); 1] = [&epoch.0];
        let params: Params<'_> = event.params().into_iter().chain(epoch).collect();
        let rows = self.access.query(END_ALL_SESSIONS, &params, time).await?;
        let users: i64 = rows.first().map_or(Ok(0), |row| column(row, "users"))?;
        Ok(users.unsigned_abs())
    }
}

fn is_limited(reach: AdminReach) -> bool {
    reach == AdminReach::MembersOnly
}

fn changed(rows: &[Row]) -> Result<AdminWrite<ChangedUser>, StoreError> {
    let done = || match rows {
        [former, changed] => {
            Ok(ChangedUser { former: user(former)?, user: user(changed)?, last_login: column(former, "last_login")? })
        }
        _ => Err(StoreError::corrupt(STORE, "no row for the changed user")),
    };
    outcome(rows.first(), done)
}

/// Reads the outcome of a write from its first row.
fn outcome<T>(row: Option<&Row>, done: impl FnOnce() -> Result<T, StoreError>) -> Result<AdminWrite<T>, StoreError> {
    let row = row.ok_or_else(|| StoreError::corrupt(STORE, "no row for the outcome"))?;
    Ok(match column(row, "outcome")? {
        "done" => AdminWrite::Done(done()?),
        "not_found" => AdminWrite::NotFound,
        "email_taken" => AdminWrite::EmailTaken,
        "last_administrator" => AdminWrite::LastAdministrator,
        "members_only" => AdminWrite::MembersOnly,
        _ => return Err(StoreError::corrupt(STORE, "unknown outcome")),
    })
}
