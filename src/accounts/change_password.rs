//! Password change.

use super::{
    authenticate::CurrentUser, call_context::Call, error::Refusal, reauthentication::Confirmed, service::Accounts,
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
    /// [`Refusal::WrongPassword`]; [`Refusal::InvalidAccessToken`] where another change has ended this session
    /// meanwhile; [`Refusal::Overloaded`], [`Refusal::Store`].
    pub async fn change_password(
        &self,
        current: &CurrentUser,
        old: &Password,
        new: &AcceptedPassword,
        call: &Call,
    ) -> Result<(), Refusal> {
        let changes = &self.metrics.accounts.password_changes;
        let change = self.confirmed(current, old, Confirmed::PasswordChange(new), call);
        let former = changes.counted(change, Refusal::label).await?;
        self.audit.record(EventKind::PasswordChanged, current, call);
        let ended = self.remove_ended_sessions(&former, Some(current.session.id), call).await;
        self.metrics.accounts.ended_by_password_change.inc_by(ended);
        Ok(())
    }
}
