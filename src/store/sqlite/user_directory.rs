//! Pages of users in SQLite.

use async_trait::async_trait;

use super::{error::STORE, store::SqliteStore};
use crate::{
    model::{UserDetails, UserId, UserPage, UserPageQuery},
    store::{StoreError, TimeBudget, UserDirectory},
};

#[async_trait]
impl UserDirectory for SqliteStore {
    async fn page(&self, _query: &UserPageQuery, _time: &TimeBudget) -> Result<UserPage, StoreError> {
        Err(StoreError::unavailable(STORE, "not implemented"))
    }

    async fn details(&self, _id: UserId, _time: &TimeBudget) -> Result<Option<UserDetails>, StoreError> {
        Err(StoreError::unavailable(STORE, "not implemented"))
    }

    async fn estimated_users(&self, _time: &TimeBudget) -> Result<Option<u64>, StoreError> {
        Err(StoreError::unavailable(STORE, "not implemented"))
    }
}
