//! Imports of users into the embedded store.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, named_params};
use tokio::{task::spawn_blocking, time::sleep};
use uuid::Uuid;

use super::{
    error::{DataDirError, STORE},
    schema,
    store::{SqliteStore, execute, text},
};
use crate::{
    clock::unix_ms,
    model::{PasswordHash, UserId},
    os::private_files,
    store::{
        StoreError,
        user_import::{DecidedUser, ImportDecision, MergedBatch, StagedUser, UserImport, random_key},
    },
};

const STAGE: &str = include_str!("../../../sql/sqlite/queries/import.stage.sql");
const ADD: &str = include_str!("../../../sql/sqlite/queries/import.add.sql");
const DECIDE: &str = include_str!("../../../sql/sqlite/queries/import.decide.sql");
const COUNT: &str = include_str!("../../../sql/sqlite/queries/import.count.sql");
const BATCH: &str = include_str!("../../../sql/sqlite/queries/import.batch.sql");
const MERGE: &str = include_str!("../../../sql/sqlite/queries/import.merge.sql");
const RECHECK: &str = include_str!("../../../sql/sqlite/queries/import.recheck.sql");
const RECIPES: &str = include_str!("../../../sql/sqlite/queries/import.recipes.sql");
const KEY: &str = include_str!("../../../sql/sqlite/queries/import.key.sql");
const DECIDED: &str = include_str!("../../../sql/sqlite/queries/import.decided.sql");

/// How many users a transaction inserts. A server waits for it with each of its writes.
const MERGED_USERS: u32 = 1000;

/// How long a transaction waits for the server's: longer than the server waits for one of an import.
const BUSY_TIMEOUT: Duration = Duration::from_mins(1);

/// The pages of the file that the import keeps in memory, in KiB: the index of emails is written in random order.
const CACHE_KIB: i64 = 32 * 1024;

/// The file beside the store that an import keeps locked.
const LOCK_FILE: &str = "import.lock";

/// An import over a connection of its own, which also holds the staging table: a temporary file of SQLite.
pub struct SqliteUserImport {
    /// `None` while a thread works with it, and after a panic of that thread.
    connection: Option<Connection>,
    /// The last row that was merged.
    merged_row: u64,
    _lock: Option<fs::File>,
}

impl SqliteStore {
    /// Opens an import of users with a connection of its own, unless another one runs on the same file: then returns `None`.
    ///
    /// # Errors
    /// Returns [`DataDirError`] if the file cannot be opened.
    pub fn user_import(&self) -> Result<Option<SqliteUserImport>, DataDirError> {
        SqliteUserImport::open(self.path())
    }
}

impl SqliteUserImport {
    fn open(path: &Path) -> Result<Option<Self>, DataDirError> {
        let lock_path = path.with_file_name(LOCK_FILE);
        let io_error = |source| DataDirError::Io { path: lock_path.clone(), source };
        let lock = private_files::open_private(&lock_path).map_err(io_error)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(source)) => return Err(io_error(source)),
        }
        let connection = schema::connect(path)?;
        Self::prepared(connection, path, Some(lock)).map(Some)
    }

    /// Opens an import into a store in memory, for a trial before there is a store.
    ///
    /// # Errors
    /// Returns [`DataDirError`] if SQLite fails.
    pub fn in_memory() -> Result<Self, DataDirError> {
        let path = Path::new(":memory:");
        let mut connection = schema::connect(path)?;
        schema::migrate_schema(&mut connection, path)?;
        Self::prepared(connection, path, None)
    }

    fn prepared(connection: Connection, path: &Path, lock: Option<fs::File>) -> Result<Self, DataDirError> {
        let prepare = || {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            connection.execute_batch(STAGE)
        };
        prepare().map_err(|source| DataDirError::Database { path: path.to_owned(), source })?;
        Ok(Self { connection: Some(connection), merged_row: 0, _lock: lock })
    }

    /// Runs work on a thread that may block.
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let lost = || StoreError::unavailable(STORE, "the import was interrupted");
        let mut connection = self.connection.take().ok_or_else(lost)?;
        let worked = spawn_blocking(move || {
            let outcome = work(&mut connection);
            (connection, outcome)
        });
        let (connection, outcome) = worked.await.map_err(|_| lost())?;
        self.connection = Some(connection);
        outcome
    }
}

#[async_trait]
impl UserImport for SqliteUserImport {
    async fn stage(&mut self, users: Vec<StagedUser>) -> Result<(), StoreError> {
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            for user in &users {
                add(&transaction, user)?;
            }
            Ok(transaction.commit()?)
        })
        .await
    }

    async fn decide(&mut self) -> Result<u64, StoreError> {
        self.run(|connection| {
            connection.execute_batch(DECIDE)?;
            Ok(connection.query_row(COUNT, [], |row| number(row, 0))?)
        })
        .await
    }

    async fn merge(&mut self) -> Result<Option<MergedBatch>, StoreError> {
        let after = self.merged_row;
        let started = Instant::now();
        let merged = self.run(move |connection| merge(connection, after)).await?;
        // SQLite lets a waiting process look at the lock from time to time only: without a pause, a server would look in vain
        // for as long as the import runs.
        sleep(started.elapsed()).await;
        Ok(merged.map(|(last, batch)| {
            self.merged_row = last;
            batch
        }))
    }

    async fn decided(&mut self, after_row: u64, limit: u32) -> Result<Vec<DecidedUser>, StoreError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached(DECIDED)?;
            let params = named_params! {":after": after_row.cast_signed(), ":limit": limit};
            let rows = statement.query_map(params, |row| Ok(decided(row)))?;
            rows.map(|row| row?).collect()
        })
        .await
    }

    async fn finish(&mut self) -> Result<(), StoreError> {
        // SQLite plans the queries of users without statistics.
        Ok(())
    }
}

fn add(transaction: &Transaction<'_>, staged: &StagedUser) -> Result<(), StoreError> {
    let StagedUser { row, old_id, user, recipe, decision, remark } = staged;
    let params = named_params! {
        ":number": row.cast_signed(),
        ":old_id": old_id,
        ":id": user.id.0.as_bytes(),
        ":email": user.email.as_str(),
        ":email_verified": user.email_verified,
        ":name": user.name.as_str(),
        ":password": user.password.as_ref().map(PasswordHash::as_phc),
        ":recipe": recipe,
        ":standing": user.status.name(),
        ":role": user.role.name(),
        ":epoch": user.epoch.0,
        ":created": unix_ms(user.created),
        ":decision": decision.text(),
        ":remark": remark,
    };
    execute(transaction, ADD, params).map(drop)
}

/// Inserts the next batch in one transaction. Returns its last row.
fn merge(connection: &mut Connection, after: u64) -> Result<Option<(u64, MergedBatch)>, StoreError> {
    let params = named_params! {":after": after.cast_signed(), ":limit": MERGED_USERS};
    let (last, planned): (u64, u64) =
        connection.query_row(BATCH, params, |row| Ok((number(row, 0)?, number(row, 1)?)))?;
    if planned == 0 {
        return Ok(None);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let range = named_params! {":after": after.cast_signed(), ":last": last.cast_signed()};
    let inserted = execute(&transaction, MERGE, range)?;
    if inserted < planned {
        execute(&transaction, RECHECK, range)?;
    }
    if inserted > 0 {
        execute(&transaction, RECIPES, range)?;
        let key = random_key().map_err(|error| StoreError::unavailable(STORE, &error))?;
        execute(&transaction, KEY, named_params! {":key": key})?;
    }
    transaction.commit()?;
    Ok(Some((last, MergedBatch { planned, inserted })))
}

fn decided(row: &Row<'_>) -> Result<DecidedUser, StoreError> {
    Ok(DecidedUser {
        row: number(row, 0)?,
        old_id: row.get(1)?,
        id: UserId(row.get(2).map(Uuid::from_bytes)?),
        email: row.get(3)?,
        has_password: row.get(4)?,
        decision: ImportDecision::of_text(STORE, text(row, 5)?)?,
        remark: row.get(6)?,
    })
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::unsigned_abs)
}
