//! What users do with their own account: give it another name, and delete it.

use super::{
    authenticate::CurrentUser, call_context::Call, error::Refusal, reauthentication::Confirmed, service::Accounts,
};
use crate::{
    model::{EventKind, Name, User},
    passwords::Password,
    store::Edit,
};

impl Accounts {
    /// Gives the user another name, and returns the user as they are then.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`] where the user is gone by now; [`Refusal::Store`].
    pub async fn rename(&self, current: &CurrentUser, name: Name, call: &Call) -> Result<User, Refusal> {
        let renamed = self.users.edit(current.user.id, &Edit::Rename(name), &call.time).await?;
        let renamed = renamed.ok_or(Refusal::InvalidAccessToken)?;
        self.audit.record(EventKind::ProfileChanged, current, call);
        Ok(renamed)
    }

    /// Deletes the account of whoever knows its password. The deletion of the user decides: without its user, no session
    /// is in force.
    ///
    /// # Errors
    /// [`Refusal::WrongPassword`]; [`Refusal::InvalidAccessToken`] where this session has ended meanwhile;
    /// [`Refusal::Overloaded`], [`Refusal::Store`].
    pub async fn delete_account(&self, current: &CurrentUser, password: &Password, call: &Call) -> Result<(), Refusal> {
        let former = self.confirmed(current, password, Confirmed::Deletion, call).await?;
        self.audit.record(EventKind::AccountDeleted, current, call);
        let ended = self.remove_ended_sessions(&former, None, call).await;
        self.metrics.accounts.ended_by_account_deletion.inc_by(ended);
        Ok(())
    }
}
