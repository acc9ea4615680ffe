//! Users in SQLite.

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Params, Row, Transaction, named_params};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    administrators::removes_last_administrator,
    error::STORE,
    store::{SqliteStore, execute, stored_time, text},
};
use crate::{
    clock::unix_ms,
    model::{Email, Epoch, Name, PasswordHash, SessionId, User, UserId},
    store::{
        CompareAndSet, ImportedHashStats, Insert, OwnDeletion, PasswordChange, StoreError, StoreHealth, TimeBudget,
        UserStore, UserUpdate,
        columns::{read_role, read_status},
    },
};

const INSERT: &str = include_str!("../../../sql/sqlite/queries/users.insert.sql");
pub(super) const BY_EMAIL: &str = include_str!("../../../sql/sqlite/queries/users.by_email.sql");
pub(super) const BY_ID: &str = include_str!("../../../sql/sqlite/queries/users.by_id.sql");
const REHASH: &str = include_str!("../../../sql/sqlite/queries/users.rehash.sql");
const CHANGE_PASSWORD: &str = include_str!("../../../sql/sqlite/queries/users.change_password.sql");
const LIST_BY_ID: &str = include_str!("../../../sql/sqlite/queries/users.list_by_id.sql");
const RENAME: &str = include_str!("../../../sql/sqlite/queries/users.rename.sql");
const END_SESSIONS: &str = include_str!("../../../sql/sqlite/queries/users.end_sessions.sql");
const FIND_VERIFIED: &str = include_str!("../../../sql/sqlite/queries/users.find_verified.sql");
const DELETE: &str = include_str!("../../../sql/sqlite/queries/users.delete.sql");
const IMPORTED_HASHES: &str = include_str!("../../../sql/sqlite/queries/users.imported_hashes.sql");

#[async_trait]
impl UserStore for SqliteStore {
    async fn insert(&self, user: &User, time: &TimeBudget) -> Result<Insert, StoreError> {
        let user = user.clone();
        self.write(time, move |transaction| insert(transaction, &user)).await
    }

    async fn by_email(&self, email: &Email, time: &TimeBudget) -> Result<Option<User>, StoreError> {
        let email = email.clone();
        self.read(time, move |transaction| by_email(transaction, &email)).await
    }

    async fn by_id(&self, id: UserId, time: &TimeBudget) -> Result<Option<User>, StoreError> {
        self.read(time, move |transaction| by_id(transaction, id)).await
    }

    async fn rehash(
        &self,
        verified: &User,
        hash: &PasswordHash,
        time: &TimeBudget,
    ) -> Result<CompareAndSet, StoreError> {
        let (verified, hash) = (verified.clone(), hash.clone());
        let write = move |transaction: &Transaction<'_>| {
            let params = named_params! {
                ":id": verified.id.0.as_bytes(),
                ":password": verified.password.as_ref().map(PasswordHash::as_phc),
                ":epoch": verified.epoch.0,
                ":new_password": hash.as_phc(),
            };
            compare_and_set(transaction, REHASH, params)
        };
        self.write(time, write).await
    }

    async fn change_password(
        &self,
        verified: &User,
        change: &PasswordChange,
        time: &TimeBudget,
    ) -> Result<CompareAndSet, StoreError> {
        let (verified, change) = (verified.clone(), change.clone());
        let write = move |transaction: &Transaction<'_>| {
            let params = named_params! {
                ":id": verified.id.0.as_bytes(),
                ":password": verified.password.as_ref().map(PasswordHash::as_phc),
                ":epoch": verified.epoch.0,
                ":new_password": change.hash.as_phc(),
                ":new_epoch": change.epoch.0,
                ":kept_session": change.surviving_session.map(|session| *session.0.as_bytes()),
            };
            compare_and_set(transaction, CHANGE_PASSWORD, params)
        };
        self.write(time, write).await
    }

    async fn list_by_id(&self, after: Option<UserId>, limit: u32, time: &TimeBudget) -> Result<Vec<User>, StoreError> {
        // No id is less than an empty blob.
        let after = after.map_or_else(Vec::new, |after| after.0.as_bytes().to_vec());
        let read = move |transaction: &Transaction<'_>| {
            find_all(transaction, LIST_BY_ID, named_params! {":after": after, ":limit": limit})
        };
        self.read(time, read).await
    }

    async fn update(&self, id: UserId, update: &UserUpdate, time: &TimeBudget) -> Result<Option<User>, StoreError> {
        let update = update.clone();
        self.write(time, move |transaction| self::update(transaction, id, &update)).await
    }

    async fn delete_verified(&self, verified: &User, time: &TimeBudget) -> Result<OwnDeletion, StoreError> {
        let verified = verified.clone();
        self.write(time, move |transaction| delete_verified(transaction, &verified)).await
    }

    async fn imported_hashes(&self, time: &TimeBudget) -> Result<Option<ImportedHashStats>, StoreError> {
        self.read(time, imported_hashes).await
    }

    async fn ping(&self, time: &TimeBudget) -> Result<StoreHealth, StoreError> {
        self.read(time, |transaction| transaction.query_row("SELECT 1", [], |_| Ok(())).map_err(StoreError::from))
            .await?;
        Ok(StoreHealth { clock: self.now(), warning: None })
    }
}

pub(super) fn by_email(transaction: &Transaction<'_>, email: &Email) -> Result<Option<User>, StoreError> {
    find(transaction, BY_EMAIL, named_params! {":email": email.as_str()})
}

pub(super) fn by_id(transaction: &Transaction<'_>, id: UserId) -> Result<Option<User>, StoreError> {
    find(transaction, BY_ID, named_params! {":id": id.0.as_bytes()})
}

fn imported_hashes(transaction: &Transaction<'_>) -> Result<Option<ImportedHashStats>, StoreError> {
    let mut statement = transaction.prepare_cached(IMPORTED_HASHES)?;
    let stats = statement.query_row([], |row| {
        let (key, recipe, remaining, users): (_, _, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let [remaining, users] = [remaining, users].map(i64::unsigned_abs);
        Ok(ImportedHashStats { key: Zeroizing::new(key), recipe, remaining, users })
    });
    Ok(stats.optional()?)
}

pub(super) fn insert(transaction: &Transaction<'_>, user: &User) -> Result<Insert, StoreError> {
    let params = named_params! {
        ":id": user.id.0.as_bytes(),
        ":email": user.email.as_str(),
        ":name": user.name.as_str(),
        ":password": user.password.as_ref().map(PasswordHash::as_phc),
        ":standing": user.status.name(),
        ":role": user.role.name(),
        ":epoch": user.epoch.0,
        ":kept_session": user.surviving_session.map(|session| *session.0.as_bytes()),
        ":created": unix_ms(user.created),
        ":email_verified": user.email_verified,
    };
    if execute(transaction, INSERT, params)? == 1 {
        return Ok(Insert::Created);
    }
    let stored = by_email(transaction, &user.email)?;
    let is_repetition = stored.is_some_and(|stored| stored.id == user.id);
    Ok(if is_repetition { Insert::Created } else { Insert::EmailTaken })
}

fn delete_verified(transaction: &Transaction<'_>, verified: &User) -> Result<OwnDeletion, StoreError> {
    let params = named_params! {
        ":id": verified.id.0.as_bytes(),
        ":password": verified.password.as_ref().map(PasswordHash::as_phc),
        ":epoch": verified.epoch.0,
        ":role": verified.role.name(),
    };
    if find(transaction, FIND_VERIFIED, params)?.is_none() {
        return Ok(OwnDeletion::Stale);
    }
    if removes_last_administrator(transaction, &[verified.id])? {
        return Ok(OwnDeletion::LastAdministrator);
    }
    delete(transaction, verified.id)?;
    Ok(OwnDeletion::Deleted)
}

pub(super) fn delete(transaction: &Transaction<'_>, id: UserId) -> Result<(), StoreError> {
    execute(transaction, DELETE, named_params! {":id": id.0.as_bytes()}).map(drop)
}

fn compare_and_set(
    transaction: &Transaction<'_>,
    query: &str,
    params: impl Params,
) -> Result<CompareAndSet, StoreError> {
    Ok(if execute(transaction, query, params)? == 1 { CompareAndSet::Written } else { CompareAndSet::Stale })
}

fn update(transaction: &Transaction<'_>, id: UserId, update: &UserUpdate) -> Result<Option<User>, StoreError> {
    let id = id.0.as_bytes();
    match update {
        UserUpdate::Rename(name) => find(transaction, RENAME, named_params! {":id": id, ":name": name.as_str()}),
        UserUpdate::EndSessions(epoch) => find(transaction, END_SESSIONS, named_params! {":id": id, ":epoch": epoch.0}),
    }
}

fn find_all(transaction: &Transaction<'_>, query: &str, params: impl Params) -> Result<Vec<User>, StoreError> {
    let mut statement = transaction.prepare_cached(query)?;
    let rows = statement.query_map(params, |row| Ok(user(row)))?;
    rows.map(|row| row?).collect()
}

pub(super) fn find(
    transaction: &Transaction<'_>,
    query: &str,
    params: impl Params,
) -> Result<Option<User>, StoreError> {
    let found = transaction
        .prepare_cached(query)
        .and_then(|mut statement| statement.query_row(params, |row| Ok(user(row))).optional());
    found?.transpose()
}

/// Reads the columns of all queries of users, by their position.
pub(super) fn user(row: &Row<'_>) -> Result<User, StoreError> {
    let surviving_session: Option<[u8; 16]> = row.get(7)?;
    Ok(User {
        id: UserId(row.get(0).map(Uuid::from_bytes)?),
        email: Email::from_store(row.get(1)?),
        email_verified: row.get(9)?,
        name: Name::from_store(row.get(2)?),
        password: row.get::<_, Option<String>>(3)?.map(PasswordHash::new),
        status: read_status(STORE, text(row, 4)?)?,
        role: read_role(STORE, text(row, 5)?)?,
        epoch: Epoch(row.get(6)?),
        surviving_session: surviving_session.map(|bytes| SessionId(Uuid::from_bytes(bytes))),
        created: stored_time(row.get(8)?)?,
    })
}
