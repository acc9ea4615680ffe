//! Texts of enums, as the SQL stores write them.

use super::error::StoreError;
use crate::model::{AccountStatus, EventKind, Role};

/// A standing as the stores write it.
pub fn status_text(status: AccountStatus) -> &'static str {
    match status {
        AccountStatus::Active => "active",
        AccountStatus::Inactive => "inactive",
    }
}

/// A role as the stores write it.
pub fn role_text(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Administrator => "administrator",
    }
}

pub fn read_role(store: &'static str, text: &str) -> Result<Role, StoreError> {
    match text {
        "member" => Ok(Role::Member),
        "administrator" => Ok(Role::Administrator),
        _ => Err(StoreError::corrupt(store, "an unknown role")),
    }
}

pub fn read_event_kind(store: &'static str, text: &str) -> Result<EventKind, StoreError> {
    text.parse().map_err(|_| StoreError::corrupt(store, "an event of a kind that this version does not know"))
}

pub fn read_status(store: &'static str, text: &str) -> Result<AccountStatus, StoreError> {
    match text {
        "active" => Ok(AccountStatus::Active),
        "inactive" => Ok(AccountStatus::Inactive),
        _ => Err(StoreError::corrupt(store, "an unknown standing")),
    }
}
