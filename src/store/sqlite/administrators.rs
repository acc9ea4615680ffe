//! Whether a write would leave the embedded store without an administrator.

use rusqlite::Transaction;
use uuid::Uuid;

use crate::{model::UserId, store::StoreError};

const ADMINISTRATORS: &str = include_str!("../../../sql/sqlite/queries/admin.administrators.sql");

/// Returns whether the store has active administrators with a password, and all of them are among these users.
pub(super) fn removes_last_administrator(
    transaction: &Transaction<'_>,
    removed: &[UserId],
) -> Result<bool, StoreError> {
    let mut statement = transaction.prepare_cached(ADMINISTRATORS)?;
    let mut rows = statement.query([])?;
    let mut has_administrator = false;
    while let Some(row) = rows.next()? {
        has_administrator = true;
        if !removed.contains(&UserId(row.get(0).map(Uuid::from_bytes)?)) {
            return Ok(false);
        }
    }
    Ok(has_administrator)
}
