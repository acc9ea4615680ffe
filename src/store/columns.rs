//! Reads enums from the columns of the SQL stores, which contain their names.

use super::error::StoreError;
use crate::model::{AccountStatus, EventKind, Role};

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
