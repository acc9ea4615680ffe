//! Password change.

use super::{
    authenticate::CurrentUser, call_context::CallContext, error::AccountError, reauthentication::ReauthAction,
    service::Accounts,
};
use crate::{
    model::EventKind,
    passwords::{CandidatePassword, Password},
};

impl Accounts {
    /// Replaces the password after checking the old password. This session survives, and every other one ends.
    ///
    /// Deciding write: the user's new hash, epoch and surviving session. After it: the ended sessions are removed.
    ///
    /// # Errors
    /// Returns [`AccountError::PolicyViolations`] if `new` is not accepted, [`AccountError::WrongPassword`] if `old` is
    /// wrong, [`AccountError::InvalidAccessToken`] if this session has ended meanwhile, [`AccountError::RateLimited`], [`AccountError::Overloaded`] or [`AccountError::Store`].
    pub async fn change_password(
        &self,
        current: &CurrentUser,
        old: &Password,
        new: CandidatePassword,
        call: &CallContext,
    ) -> Result<(), AccountError> {
        let changes = &self.metrics.accounts.password_changes;
        let change = self.reauthenticate(current, old, ReauthAction::PasswordChange(new), call);
        let former = changes.counted(change, AccountError::label).await?;
        self.audit.record(EventKind::PasswordChanged, current, call);
        let ended = self.remove_ended_sessions(&former, Some(current.session.id), call).await;
        self.metrics.accounts.ended_by_password_change.inc_by(ended);
        Ok(())
    }
}
