//! Changes of users by administrators in PostgreSQL.

use async_trait::async_trait;

use super::{error::STORE, store::PostgresStore};
use crate::{
    model::{AuditEvent, User, UserChange},
    store::{AdminTarget, AdminWrite, ChangedUser, StoreError, TimeBudget, UserAdminStore, UserDeletion},
};

#[async_trait]
impl UserAdminStore for PostgresStore {
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
