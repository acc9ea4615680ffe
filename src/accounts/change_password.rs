//! Password change.

use super::{
    authenticate::CurrentUser, call_context::CallContext, error::AccountError, reauthentication::ReauthAction,
    service::Accounts,
};
use crate::{
    model::EventKind,
    passwords::{AcceptedPassword, Password},
};

impl Accounts {
    /// Replaces the password of whoever knows the old one. This session lives on, every other one ends: the write of
    /// hash and epoch decides, and removing the ended sessions afterwards only tidies up.
    ///
    /// # Errors
    /// [`AccountError::WrongPassword`]; [`AccountError::InvalidAccessToken`] where another change has ended this session
    /// meanwhile; [`AccountError::Overloaded`], [`AccountError::Store`].
    pub async fn change_password(
        &self,
        current: &CurrentUser,
        old: &Password,
        new: &AcceptedPassword,
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
