//! Changes of users by administrators in SQLite.

use async_trait::async_trait;

use super::{error::STORE, store::SqliteStore};
use crate::{
    model::{AuditEvent, User, UserChange},
    store::{AdminTarget, AdminWrite, ChangedUser, StoreError, TimeBudget, UserAdminStore, UserDeletion},
};

#[async_trait]
impl UserAdminStore for SqliteStore {
    async fn create(
        &self,
        _user: &User,
        _event: &AuditEvent,
        _time: &TimeBudget,
    ) -> Result<AdminWrite<()>, StoreError> {
        Err(StoreError::unavailable(STORE, "not implemented"))
    }

    async fn change(
        &self,
        _target: AdminTarget,
        _change: &UserChange,
        _event: &AuditEvent,
        _time: &TimeBudget,
    ) -> Result<AdminWrite<ChangedUser>, StoreError> {
        Err(StoreError::unavailable(STORE, "not implemented"))
    }

    async fn delete(&self, _deletion: &UserDeletion, _time: &TimeBudget) -> Result<AdminWrite<Vec<User>>, StoreError> {
        Err(StoreError::unavailable(STORE, "not implemented"))
    }
}
