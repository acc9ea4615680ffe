//! Renewal of a session's authentication.

use time::OffsetDateTime;

use super::{
    authenticate::CurrentUser, call_context::CallContext, error::AccountError, reauthentication::ReauthAction,
    service::Accounts,
};
use crate::{model::EventKind, passwords::Password};

impl Accounts {
    /// Verifies the user's password, and returns the time from which the session counts as authenticated.
    ///
    /// Deciding write: recording that time in the session.
    ///
    /// # Errors
    /// Returns [`AccountError::WrongPassword`], [`AccountError::InvalidAccessToken`] if the session has ended meanwhile,
    /// [`AccountError::RateLimited`], [`AccountError::Overloaded`] or [`AccountError::Store`].
    pub async fn renew_authentication(
        &self,
        current: &CurrentUser,
        password: &Password,
        call: &CallContext,
    ) -> Result<OffsetDateTime, AccountError> {
        self.reauthenticate(current, password, ReauthAction::None, call).await?;
        let session = &current.session;
        let recorded = self.sessions.record_authentication(session.user, session.id, &call.time).await?;
        let authenticated = recorded.ok_or(AccountError::InvalidAccessToken)?;
        self.audit.record(EventKind::Reauthenticated, current, call);
        Ok(authenticated)
    }
}
