//! What users do with their own account: give it another name, and delete it.

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
    /// Gives the user another name, and returns the user as they are then.
    ///
    /// # Errors
    /// [`AccountError::InvalidAccessToken`] where the user is gone by now; [`AccountError::Store`].
    pub async fn rename(&self, current: &CurrentUser, name: Name, call: &CallContext) -> Result<User, AccountError> {
        let renamed = self.users.update(current.user.id, &UserUpdate::Rename(name), &call.time).await?;
        let renamed = renamed.ok_or(AccountError::InvalidAccessToken)?;
        self.audit.record(EventKind::ProfileChanged, current, call);
        Ok(renamed)
    }

    /// Deletes the account of whoever knows its password. The deletion of the user decides: without its user, no session
    /// is in force.
    ///
    /// # Errors
    /// [`AccountError::WrongPassword`]; [`AccountError::InvalidAccessToken`] where this session has ended meanwhile;
    /// [`AccountError::Overloaded`], [`AccountError::Store`].
    pub async fn delete_account(
        &self,
        current: &CurrentUser,
        password: &Password,
        call: &CallContext,
    ) -> Result<(), AccountError> {
        let former = self.reauthenticate(current, password, ReauthAction::Deletion, call).await?;
        self.audit.record(EventKind::AccountDeleted, current, call);
        let ended = self.remove_ended_sessions(&former, None, call).await;
        self.metrics.accounts.ended_by_account_deletion.inc_by(ended);
        Ok(())
    }
}
