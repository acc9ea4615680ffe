//! Logout: of one session by its refresh token, and of all sessions at once.

use tracing::warn;

use super::{authenticate::CurrentUser, call_context::CallContext, error::AccountError, service::Accounts};
use crate::{
    model::{AuditSubject, Epoch, EventKind, SessionId, User},
    store::UserUpdate,
};

impl Accounts {
    /// Ends the session of a refresh token, whichever of the session's tokens it is: holding one is the authority. A
    /// session that has ended before is no error. The session store alone is asked.
    ///
    /// # Errors
    /// [`AccountError::InvalidRefreshToken`], [`AccountError::Store`].
    pub async fn logout(&self, refresh_token: &str, call: &CallContext) -> Result<(), AccountError> {
        let claims = self.refresh_claims(refresh_token).await?;
        let ended = self.sessions.end(claims.user, claims.session, &call.time).await?;
        self.metrics.accounts.ended_by_logout.inc_by(ended);
        let subject = AuditSubject { user: Some(claims.user), session: Some(claims.session), detail: None };
        self.audit.record(if ended > 0 { EventKind::Logout } else { EventKind::LogoutRepeated }, subject, call);
        Ok(())
    }

    /// Ends every session of the user, this one included: the new epoch decides.
    ///
    /// # Errors
    /// [`AccountError::InvalidAccessToken`] where the user is gone by now; [`AccountError::Store`].
    pub async fn logout_everywhere(&self, current: &CurrentUser, call: &CallContext) -> Result<(), AccountError> {
        let update = UserUpdate::EndSessions(Epoch::random());
        let edited = self.users.update(current.user.id, &update, &call.time).await?;
        edited.ok_or(AccountError::InvalidAccessToken)?;
        self.audit.record(EventKind::LogoutEverywhere, current, call);
        let ended = self.remove_ended_sessions(&current.user, None, call).await;
        self.metrics.accounts.ended_by_logout_everywhere.inc_by(ended);
        Ok(())
    }

    /// Removes the sessions that a new epoch, or the deletion of their user, has ended, and says how many there were. It
    /// only tidies up: they are refused whether this succeeds or not.
    pub(super) async fn remove_ended_sessions(
        &self,
        former: &User,
        kept: Option<SessionId>,
        call: &CallContext,
    ) -> u64 {
        self.sessions.remove_ended(former, kept, &call.time).await.unwrap_or_else(|error| {
            warn!(%error, user = %former.id, "ended sessions could not be removed; they are refused all the same");
            0
        })
    }
}
