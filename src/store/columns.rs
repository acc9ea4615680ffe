//! The text of enums in the columns of the SQL stores.

use super::error::StoreError;
use crate::model::{AccountStatus, EventKind, Role};

/// Returns the text of an account status.
pub(super) fn status_text(status: AccountStatus) -> &'static str {
    match status {
        AccountStatus::Active => "active",
        AccountStatus::Inactive => "inactive",
    }
}

/// Returns the text of a role.
pub(super) fn role_text(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Administrator => "administrator",
    }
}

pub(super) fn read_role(store: &'static str, text: &str) -> Result<Role, StoreError> {
    match text {
        "member" => Ok(Role::Member),
        "administrator" => Ok(Role::Administrator),
        _ => Err(StoreError::corrupt(store, "unknown role")),
    }
}

/// Returns the names of all kinds of events, each between spaces.
pub(super) fn known_event_kinds() -> String {
    EventKind::ALL.iter().fold(" ".to_owned(), |names, kind| names + kind.name() + " ")
}

pub(super) fn read_event_kind(store: &'static str, text: &str) -> Result<EventKind, StoreError> {
    text.parse().map_err(|_| StoreError::corrupt(store, "unknown kind of audit event"))
}

pub(super) fn read_status(store: &'static str, text: &str) -> Result<AccountStatus, StoreError> {
    match text {
        "active" => Ok(AccountStatus::Active),
        "inactive" => Ok(AccountStatus::Inactive),
        _ => Err(StoreError::corrupt(store, "unknown account status")),
    }
}
