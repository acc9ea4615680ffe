//! Listing a user's sessions, and ending one of them.

use std::cmp::Reverse;

use tracing::warn;

use super::{authenticate::CurrentUser, call_context::CallContext, error::AccountError, service::Accounts};
use crate::{
    model::{AuditSubject, EventKind, Session, SessionId, User},
    store::{SessionStore, StoreError, TimeBudget},
};

impl Accounts {
    /// Returns the user's valid sessions, newest first.
    ///
    /// # Errors
    /// Returns [`AccountError::Store`] if the session store fails.
    pub async fn list_sessions(&self, current: &CurrentUser, call: &CallContext) -> Result<Vec<Session>, AccountError> {
        let mut sessions = valid_sessions(&*self.sessions, &current.user, &call.time).await?;
        // The store may record the use by this request later.
        if let Some(own) = sessions.iter_mut().find(|session| session.id == current.session.id) {
            own.last_used = own.last_used.max(current.session.last_used);
        }
        Ok(sessions)
    }

    /// Ends one of the user's sessions, which may be the current one.
    ///
    /// Deciding write: ending the session.
    ///
    /// # Errors
    /// Returns [`AccountError::SessionNotFound`] if no valid session of this user has this id, or [`AccountError::Store`].
    pub async fn end_session(
        &self,
        current: &CurrentUser,
        id: SessionId,
        call: &CallContext,
    ) -> Result<(), AccountError> {
        // Whether the session exists is decided before it is ended: a store call that is retried after a lost response
        // finds that it has already ended.
        let sessions = self.list_sessions(current, call).await?;
        let session = sessions.iter().find(|session| session.id == id).ok_or(AccountError::SessionNotFound)?;
        let ended = self.sessions.end(session.user, session.id, &call.time).await?;
        self.metrics.accounts.ended_by_user.inc_by(ended);
        let subject = AuditSubject::from(session).with_detail(format!("by session {}", current.session.id));
        self.audit.record(EventKind::SessionEnded, subject, call);
        Ok(())
    }
}

/// Returns the valid sessions of a user, newest first.
pub(super) async fn valid_sessions(
    store: &dyn SessionStore,
    user: &User,
    time: &TimeBudget,
) -> Result<Vec<Session>, StoreError> {
    let mut sessions = store.list(user.id, time).await?;
    sessions.retain(|session| user.is_session_valid(session.id, session.epoch));
    sessions.sort_by_key(|session| Reverse((session.created, session.id.0)));
    Ok(sessions)
}

/// Removes the sessions that a new epoch or the deletion of `former` has ended, except `survivor`, and returns their number. A
/// failure is only logged, because these sessions are invalid in any case.
pub(super) async fn remove_ended_sessions(
    store: &dyn SessionStore,
    former: &User,
    survivor: Option<SessionId>,
    time: &TimeBudget,
) -> u64 {
    store.remove_ended(former, survivor, time).await.unwrap_or_else(|error| {
        warn!(%error, user = %former.id, "failed to remove ended sessions; they stay invalid");
        0
    })
}
