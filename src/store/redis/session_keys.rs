//! The keys of sessions.

use crate::model::{SessionId, UserId};

/// The beginning of the keys of a user's sessions.
pub(super) fn session_key_prefix(user: UserId) -> String {
    format!("session:{{{user}}}:")
}

/// The key of a session.
pub(super) fn session_key(user: UserId, session: SessionId) -> String {
    format!("session:{{{user}}}:{session}")
}

/// The key of the index of a user's sessions.
pub(super) fn index_key(user: UserId) -> String {
    format!("sessions:{{{user}}}")
}
