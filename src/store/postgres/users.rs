//! Users in PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    error::STORE,
    rows::{column, user},
    store::PostgresStore,
    user_columns::UserColumns,
};
use crate::{
    model::{Email, PasswordHash, User, UserId},
    store::{
        CompareAndSet, ImportedHashStats, Insert, OwnDeletion, PasswordChange, StoreError, StoreHealth, TimeBudget,
        UserStore, UserUpdate,
    },
};

const INSERT: &str = include_str!("../../../sql/postgres/queries/users.insert.sql");
const BY_EMAIL: &str = include_str!("../../../sql/postgres/queries/users.by_email.sql");
const REHASH: &str = include_str!("../../../sql/postgres/queries/users.rehash.sql");
const CHANGE_PASSWORD: &str = include_str!("../../../sql/postgres/queries/users.change_password.sql");
const LIST_BY_ID: &str = include_str!("../../../sql/postgres/queries/users.list_by_id.sql");
const RENAME: &str = include_str!("../../../sql/postgres/queries/users.rename.sql");
const END_SESSIONS: &str = include_str!("../../../sql/postgres/queries/users.end_sessions.sql");
const DELETE_VERIFIED: &str = include_str!("../../../sql/postgres/queries/users.delete_verified.sql");
/// The longest reading of the share of imported hashes, which counts up to 300,000 rows.
const IMPORTED_HASHES_TIMEOUT: Duration = Duration::from_secs(20);
const IMPORTED_HASHES: &str = include_str!("../../../sql/postgres/queries/users.imported_hashes.sql");

#[async_trait]
impl UserStore for PostgresStore {
    async fn insert(&self, user: &User, time: &TimeBudget) -> Result<Insert, StoreError> {
        let rows = self.access.query_idempotent(INSERT, &UserColumns::of(user).params(), time).await?;
        Ok(if rows.is_empty() { Insert::EmailTaken } else { Insert::Created })
    }

    async fn by_email(&self, email: &Email, time: &TimeBudget) -> Result<Option<User>, StoreError> {
        at_most_one(&self.access.query_idempotent(BY_EMAIL, &[&email.as_str()], time).await?)
    }

    async fn by_id(&self, id: UserId, time: &TimeBudget) -> Result<Option<User>, StoreError> {
        self.users_by_id.call(id, time).await
    }

    async fn rehash(
        &self,
        verified: &User,
        hash: &PasswordHash,
        time: &TimeBudget,
    ) -> Result<CompareAndSet, StoreError> {
        let old = verified.password.as_ref().map(PasswordHash::as_phc);
        let rows = self.access.query(REHASH, &[&verified.id.0, &old, &verified.epoch.0, &hash.as_phc()], time).await?;
        Ok(compare_and_set(&rows))
    }

    async fn change_password(
        &self,
        verified: &User,
        change: &PasswordChange,
        time: &TimeBudget,
    ) -> Result<CompareAndSet, StoreError> {
        let old = verified.password.as_ref().map(PasswordHash::as_phc);
        let (hash, epoch, surviving_session) =
            (change.hash.as_phc(), change.epoch.0, change.surviving_session.map(|id| id.0));
        let params: &[&(dyn ToSql + Sync)] =
            &[&verified.id.0, &old, &verified.epoch.0, &hash, &epoch, &surviving_session];
        Ok(compare_and_set(&self.access.query(CHANGE_PASSWORD, params, time).await?))
    }

    async fn list_by_id(&self, after: Option<UserId>, limit: u32, time: &TimeBudget) -> Result<Vec<User>, StoreError> {
        let after = after.map_or(Uuid::nil(), |after| after.0);
        let rows = self.access.query_idempotent(LIST_BY_ID, &[&after, &i64::from(limit)], time).await?;
        rows.iter().map(user).collect()
    }

    async fn update(&self, id: UserId, update: &UserUpdate, time: &TimeBudget) -> Result<Option<User>, StoreError> {
        let rows = match update {
            UserUpdate::Rename(name) => self.access.query(RENAME, &[&id.0, &name.as_str()], time).await,
            UserUpdate::EndSessions(epoch) => self.access.query(END_SESSIONS, &[&id.0, &epoch.0], time).await,
        };
        at_most_one(&rows?)
    }

    async fn delete_verified(&self, verified: &User, time: &TimeBudget) -> Result<OwnDeletion, StoreError> {
        let password = verified.password.as_ref().map(PasswordHash::as_phc);
        let params: &[&(dyn ToSql + Sync)] = &[&verified.id.0, &password, &verified.epoch.0, &verified.role.name()];
        let rows = self.access.query(DELETE_VERIFIED, params, time).await?;
        let row = rows.first().ok_or_else(|| StoreError::corrupt(STORE, "no row for the outcome"))?;
        match column(row, "outcome")? {
            "deleted" => Ok(OwnDeletion::Deleted),
            "stale" => Ok(OwnDeletion::Stale),
            "last_administrator" => Ok(OwnDeletion::LastAdministrator),
            _ => Err(StoreError::corrupt(STORE, "unknown outcome")),
        }
    }

    async fn imported_hashes(&self, time: &TimeBudget) -> Result<Option<ImportedHashStats>, StoreError> {
        let rows = self.access.query_long(IMPORTED_HASHES, IMPORTED_HASHES_TIMEOUT, time).await?;
        rows.first().map(imported_hashes).transpose()
    }

    async fn ping(&self, time: &TimeBudget) -> Result<StoreHealth, StoreError> {
        let rows = self.access.query_idempotent("SELECT clock_timestamp() AS clock", &[], time).await?;
        let row = rows.first().ok_or_else(|| StoreError::corrupt(STORE, "no row for the time"))?;
        Ok(StoreHealth { clock: column(row, "clock")?, warning: None })
    }
}

fn imported_hashes(row: &Row) -> Result<ImportedHashStats, StoreError> {
    let key: &[u8] = column(row, "key")?;
    let key = key.try_into().map_err(|_| StoreError::corrupt(STORE, "a key of other than 32 bytes"))?;
    let count = |name| column::<i64>(row, name).map(i64::unsigned_abs);
    let (remaining, users) = (count("remaining")?, count("users")?);
    Ok(ImportedHashStats { key: Zeroizing::new(key), recipe: column(row, "recipe")?, remaining, users })
}

fn compare_and_set(rows: &[Row]) -> CompareAndSet {
    if rows.is_empty() { CompareAndSet::Stale } else { CompareAndSet::Written }
}

fn at_most_one(rows: &[Row]) -> Result<Option<User>, StoreError> {
    rows.first().map(user).transpose()
}
