//! Logout of one session by its refresh token, and of all sessions of a user.

use super::{
    authenticate::CurrentUser, call_context::CallContext, error::AccountError, service::Accounts,
    sessions::remove_ended_sessions,
};
use crate::{
    model::{AuditSubject, Epoch, EventKind, SessionId, User},
    store::UserUpdate,
};

impl Accounts {
    /// Ends the session that the refresh token names; superseded tokens are accepted too. Succeeds if the session has
    /// already ended.
    ///
    /// Deciding write: ending the session.
    ///
    /// # Errors
    /// Returns [`AccountError::InvalidRefreshToken`] if the token is not authentic, or [`AccountError::Store`].
    pub async fn logout(&self, refresh_token: &str, call: &CallContext) -> Result<(), AccountError> {
        let claims = self.refresh_claims(refresh_token).await?;
        let ended = self.sessions.end(claims.user, claims.session, &call.time).await?;
        self.metrics.accounts.ended_by_logout.inc_by(ended);
        let subject = AuditSubject::from((claims.user, claims.session));
        self.audit.record(if ended > 0 { EventKind::Logout } else { EventKind::LogoutRepeated }, subject, call);
        Ok(())
    }

    /// Ends every session of the user, this one included.
    ///
    /// Deciding write: the user's new epoch. After it: the ended sessions are removed.
    ///
    /// # Errors
    /// Returns [`AccountError::InvalidAccessToken`] if the user has been deleted meanwhile, or [`AccountError::Store`].
    pub async fn logout_everywhere(&self, current: &CurrentUser, call: &CallContext) -> Result<(), AccountError> {
        let update = UserUpdate::EndSessions(Epoch::random());
        let updated = self.users.update(current.user.id, &update, &call.time).await?;
        updated.ok_or(AccountError::InvalidAccessToken)?;
        self.audit.record(EventKind::LogoutEverywhere, current, call);
        let ended = self.remove_ended_sessions(&current.user, None, call).await;
        self.metrics.accounts.ended_by_logout_everywhere.inc_by(ended);
        Ok(())
    }

    /// Removes the sessions that a new epoch or the deletion of `former` has ended, except `survivor`, and returns their
    /// number.
    pub(super) async fn remove_ended_sessions(
        &self,
        former: &User,
        survivor: Option<SessionId>,
        call: &CallContext,
    ) -> u64 {
        remove_ended_sessions(&*self.sessions, former, survivor, &call.time).await
    }
}
