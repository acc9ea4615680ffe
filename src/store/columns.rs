//! Reads enums from the columns of the SQL stores, which contain their names.

use super::error::StoreError;
use crate::model::{AccountStatus, EventKind, Role, Statistic};

pub(super) fn read_role(store: &'static str, text: &str) -> Result<Role, StoreError> {
    match text {
        "member" => Ok(Role::Member),
        "administrator" => Ok(Role::Administrator),
        _ => Err(StoreError::corrupt(store, "unknown role")),
    }
}

/// Returns the name of this kind of event, or of all kinds.
pub(super) fn event_kinds(kind: Option<EventKind>) -> Vec<&'static str> {
    kind.map_or_else(|| EventKind::ALL.map(EventKind::name).to_vec(), |kind| vec![kind.name()])
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

/// Returns `None` for a statistic of a newer version.
pub(super) fn read_statistic(text: &str) -> Option<Statistic> {
    Statistic::ALL.into_iter().find(|statistic| statistic.name() == text)
}
