//! Look-ups of users by id, which share statements.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use super::{
    access::PostgresAccess,
    error::STORE,
    rows::{column, user},
};
use crate::{
    model::{User, UserId},
    store::{StoreError, TimeBudget, batch::RoundTrip},
};

const BY_IDS: &str = include_str!("../../../sql/postgres/queries/users.by_ids.sql");

/// One statement for many users. It takes a connection of the pool for each, so a connection that hangs delays no other.
pub(super) struct UsersById(pub(super) Arc<PostgresAccess>);

impl RoundTrip for UsersById {
    type Key = UserId;
    type Value = Option<User>;

    const STORE: &'static str = STORE;

    async fn send(
        &self,
        ids: &[UserId],
        time: &TimeBudget,
    ) -> Result<Vec<Result<Option<User>, StoreError>>, StoreError> {
        let uuids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let rows = self.0.query_idempotent(BY_IDS, &[&uuids], time).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            found.insert(UserId(column(row, "id")?), user(row));
        }
        Ok(ids.iter().map(|id| found.remove(id).transpose()).collect())
    }
}
