//! Imports of users into PostgreSQL.

use std::{pin::pin, time::Duration};

use async_trait::async_trait;
use tokio::time::sleep;
use tokio_postgres::{
    Client, Row,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use super::{
    error::{STORE, SchemaError},
    rows::column,
    schema::{NOTICE_LOSS, check_schema_of, connect, set_if_supported},
    url::PostgresUrl,
};
use crate::{
    model::{PasswordHash, UserId},
    store::{
        StoreError,
        user_import::{DecidedUser, ImportDecision, MergedBatch, StagedUser, UserImport, random_key},
    },
};

const STAGE: &str = include_str!("../../../sql/postgres/queries/import.stage.sql");
const DECIDE: &str = include_str!("../../../sql/postgres/queries/import.decide.sql");
const COUNT: &str = include_str!("../../../sql/postgres/queries/import.count.sql");
const BATCH: &str = include_str!("../../../sql/postgres/queries/import.batch.sql");
const MERGE: &str = include_str!("../../../sql/postgres/queries/import.merge.sql");
const RECHECK: &str = include_str!("../../../sql/postgres/queries/import.recheck.sql");
const DECIDED: &str = include_str!("../../../sql/postgres/queries/import.decided.sql");

const COPY: &str = "COPY pg_temp.staged_users FROM STDIN BINARY";

/// The types of the columns that [`COPY`] writes.
const TYPES: [Type; 14] = [
    Type::INT8,
    Type::TEXT,
    Type::UUID,
    Type::TEXT,
    Type::BOOL,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::TIMESTAMPTZ,
    Type::TEXT,
    Type::TEXT,
];

/// How many users a transaction inserts: it takes about a quarter of a second, and no server waits for it unless a client
/// signs up with an email of the batch.
const MERGED_USERS: i64 = 10_000;

/// Takes a lock that only imports into the same table take, until the session ends. The first key is "impo" in ASCII.
const LOCK: &str = "SELECT pg_try_advisory_lock(x'696d706f'::int, 'users'::regclass::oid::int) AS is_locked";

/// How often an import tries to get the lock, with [`LOCK_PAUSE`] between: PostgreSQL notices after a second or two that an
/// earlier import was killed.
const LOCK_ATTEMPTS: u32 = 11;

const LOCK_PAUSE: Duration = Duration::from_millis(500);

/// Statements of an import take minutes if there are many users; a server that is gone is noticed by TCP. The memory is that
/// of the sorts and hashes of the decision.
const SET_UP: &str = "SET statement_timeout = '15min'; SET lock_timeout = '1min'; SET work_mem = '64MB'";

/// An import over a connection of its own, which also holds the staging table.
pub struct PostgresUserImport {
    client: Client,
    /// The last row that was merged.
    merged_row: i64,
}

impl PostgresUserImport {
    /// Opens an import, unless another one runs on the same table: then returns `None`.
    ///
    /// # Errors
    /// Returns [`SchemaError`] if PostgreSQL does not respond, its schema is too old, or a connection pooler shares its
    /// connections.
    pub async fn open(url: &PostgresUrl) -> Result<Option<Self>, SchemaError> {
        let client = connect(url).await?;
        check_schema_of(&client).await?;
        client.batch_execute(SET_UP).await?;
        set_if_supported(&client, &NOTICE_LOSS).await?;
        if !is_locked(&client).await? {
            return Ok(None);
        }
        client.batch_execute(STAGE).await?;
        Ok(Some(Self { client, merged_row: 0 }))
    }

    async fn row(&self, query: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, StoreError> {
        Ok(self.client.query_one(query, params).await?)
    }
}

#[async_trait]
impl UserImport for PostgresUserImport {
    async fn stage(&mut self, users: Vec<StagedUser>) -> Result<(), StoreError> {
        let mut writer = pin!(BinaryCopyInWriter::new(self.client.copy_in(COPY).await?, &TYPES));
        for StagedUser { row, old_id, user, recipe, decision, remark } in &users {
            let values: [&(dyn ToSql + Sync); TYPES.len()] = [
                &row.cast_signed(),
                old_id,
                &user.id.0,
                &user.email.as_str(),
                &user.email_verified,
                &user.name.as_str(),
                &user.password.as_ref().map(PasswordHash::as_phc),
                recipe,
                &user.status.name(),
                &user.role.name(),
                &user.epoch.0,
                &user.created,
                &decision.text(),
                remark,
            ];
            writer.as_mut().write(&values).await?;
        }
        writer.finish().await?;
        Ok(())
    }

    async fn decide(&mut self) -> Result<u64, StoreError> {
        self.client.batch_execute(DECIDE).await?;
        let users: i64 = column(&self.row(COUNT, &[]).await?, "users")?;
        Ok(users.unsigned_abs())
    }

    async fn merge(&mut self) -> Result<Option<MergedBatch>, StoreError> {
        let batch = self.row(BATCH, &[&self.merged_row, &MERGED_USERS]).await?;
        let (last, planned): (i64, i64) = (column(&batch, "last")?, column(&batch, "planned")?);
        if planned == 0 {
            return Ok(None);
        }
        let key = random_key().map_err(|error| StoreError::unavailable(STORE, &error))?;
        let merged = self.row(MERGE, &[&self.merged_row, &last, &key.as_slice()]).await?;
        let inserted: i64 = column(&merged, "inserted")?;
        if inserted < planned {
            self.client.execute(RECHECK, &[&self.merged_row, &last]).await?;
        }
        self.merged_row = last;
        Ok(Some(MergedBatch { planned: planned.unsigned_abs(), inserted: inserted.unsigned_abs() }))
    }

    async fn decided(&mut self, after_row: u64, limit: u32) -> Result<Vec<DecidedUser>, StoreError> {
        let rows = self.client.query(DECIDED, &[&after_row.cast_signed(), &i64::from(limit)]).await?;
        rows.iter().map(decided).collect()
    }

    async fn finish(&mut self) -> Result<(), StoreError> {
        Ok(self.client.batch_execute("ANALYZE users").await?)
    }
}

/// Takes the lock of imports. Returns `false` if another session keeps it.
async fn is_locked(client: &Client) -> Result<bool, SchemaError> {
    for _ in 1..LOCK_ATTEMPTS {
        if client.query_one(LOCK, &[]).await?.try_get("is_locked")? {
            return Ok(true);
        }
        sleep(LOCK_PAUSE).await;
    }
    Ok(client.query_one(LOCK, &[]).await?.try_get("is_locked")?)
}

fn decided(row: &Row) -> Result<DecidedUser, StoreError> {
    Ok(DecidedUser {
        row: column::<i64>(row, "number")?.unsigned_abs(),
        old_id: column(row, "old_id")?,
        id: UserId(column(row, "id")?),
        email: column(row, "email")?,
        has_password: column(row, "has_password")?,
        decision: ImportDecision::of_text(STORE, column(row, "decision")?)?,
        remark: column(row, "remark")?,
    })
}
