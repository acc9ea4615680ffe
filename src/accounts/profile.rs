//! Rename and deletion of the user's own account.

use super::{
    authenticate::CurrentUser, call_context::CallContext, error::AccountError, reauthentication::ReauthAction,
    service::Accounts,
};
use crate::{
    model::{EventKind, Name, User},
    passwords::Password,
    store::UserUpdate,
};

impl Accounts {
    /// Changes the user's name, and returns the updated user.
    ///
    /// Deciding write: the user's update.
    ///
    /// # Errors
    /// Returns [`AccountError::InvalidAccessToken`] if the user has been deleted meanwhile, or [`AccountError::Store`].
    pub async fn rename(&self, current: &CurrentUser, name: Name, call: &CallContext) -> Result<User, AccountError> {
        let renamed = self.users.update(current.user.id, &UserUpdate::Rename(name), &call.time).await?;
        let renamed = renamed.ok_or(AccountError::InvalidAccessToken)?;
        self.audit.record(EventKind::ProfileChanged, current, call);
        Ok(renamed)
    }

    /// Deletes the account after checking the password. Without its user, no session is valid.
    ///
    /// Deciding write: the deletion of the user. After it: the sessions are removed.
    ///
    /// # Errors
    /// Returns [`AccountError::WrongPassword`] if the password is wrong, [`AccountError::InvalidAccessToken`] if this session
    /// has ended meanwhile, [`AccountError::LastAdministrator`] if no other active administrator has a password,
    /// [`AccountError::RateLimited`], [`AccountError::Overloaded`] or [`AccountError::Store`].
    pub async fn delete_account(
        &self,
        current: &CurrentUser,
        password: &Password,
        call: &CallContext,
    ) -> Result<(), AccountError> {
        let deleted = self.reauthenticate(current, password, ReauthAction::Deletion, call).await?;
        self.audit.record(EventKind::AccountDeleted, current, call);
        let ended = self.remove_ended_sessions(&deleted.former, None, call).await;
        self.metrics.accounts.ended_by_account_deletion.inc_by(ended);
        Ok(())
    }
}
