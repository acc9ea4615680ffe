//! Reauthentication: actions that a signed-in user confirms with the password.

use super::{authenticate::CurrentUser, call_context::CallContext, error::AccountError, service::Accounts};
use crate::{
    model::{Epoch, EventKind, User},
    passwords::{AcceptedPassword, CandidatePassword, Password, WorkPermit},
    rate_limit::AttemptSubject,
    store::{CompareAndSet, PasswordChange},
};

/// The action that the password confirms.
#[derive(Debug)]
pub enum ReauthAction {
    /// Sets this password if it is accepted. The session that requests it survives.
    PasswordChange(CandidatePassword),
    /// Deletes the account.
    Deletion,
}

/// The write that performs an action.
enum ReauthWrite {
    PasswordChange(AcceptedPassword),
    Deletion,
}

/// The password that confirms an action, and the permit to verify it.
struct Confirmation<'call> {
    password: &'call Password,
    permit: &'call WorkPermit,
    call: &'call CallContext,
}

impl Accounts {
    /// Verifies the user's password, then performs `action`. Returns the user as they were before.
    ///
    /// Deciding write: a compare-and-set on the verified hash and the epoch that was read with it.
    ///
    /// # Errors
    /// Returns [`AccountError::PolicyViolations`] if a new password is not accepted, [`AccountError::WrongPassword`] if the
    /// password is wrong, [`AccountError::InvalidAccessToken`] if this session has ended meanwhile,
    /// [`AccountError::RateLimited`], [`AccountError::Overloaded`] or [`AccountError::Store`].
    pub(super) async fn reauthenticate(
        &self,
        current: &CurrentUser,
        password: &Password,
        action: ReauthAction,
        call: &CallContext,
    ) -> Result<User, AccountError> {
        let user = &current.user;
        let subject = AttemptSubject::Account(user.email.clone(), call.client.address, None);
        let attempt = self.begin_login(subject, Some(user.id), call).await?;
        let confirmation = Confirmation { password, permit: attempt.permit(), call };
        let result = self.perform(current, action, &confirmation).await;
        self.end_login(attempt, &result, call).await;
        result
    }

    async fn perform(
        &self,
        current: &CurrentUser,
        action: ReauthAction,
        confirmation: &Confirmation<'_>,
    ) -> Result<User, AccountError> {
        let write = match action {
            ReauthAction::PasswordChange(candidate) => {
                ReauthWrite::PasswordChange(self.accept_password(candidate, confirmation.permit).await?)
            }
            ReauthAction::Deletion => ReauthWrite::Deletion,
        };
        if self.verify_and_write(current, &write, confirmation).await? == CompareAndSet::Written {
            return Ok(current.user.clone());
        }
        // Retry once: a login may have rehashed the password meanwhile, which changes neither password nor epoch.
        let current = self.reload(current, confirmation.call).await?;
        if self.verify_and_write(&current, &write, confirmation).await? == CompareAndSet::Written {
            return Ok(current.user);
        }
        self.reload(&current, confirmation.call).await?;
        Err(AccountError::WrongPassword)
    }

    async fn verify_and_write(
        &self,
        current: &CurrentUser,
        write: &ReauthWrite,
        confirmation: &Confirmation<'_>,
    ) -> Result<CompareAndSet, AccountError> {
        let (user, session) = (&current.user, &current.session);
        let Confirmation { password, permit, call } = *confirmation;
        if password.is_too_long() || !self.hasher.verify(permit, password, user.password.as_ref()).await? {
            self.audit.record(EventKind::PasswordConfirmationFailed, current, call);
            return Err(AccountError::WrongPassword);
        }
        let written = match write {
            ReauthWrite::PasswordChange(new) => {
                let hash = self.hasher.hash(permit, new.password()).await?;
                let change = PasswordChange { hash, epoch: Epoch::random(), surviving_session: session.id };
                self.users.change_password(user, &change, &call.time).await
            }
            ReauthWrite::Deletion => self.users.delete_verified(user, &call.time).await,
        };
        Ok(written?)
    }

    /// Reads the user again, and returns them if the session is still valid.
    async fn reload(&self, current: &CurrentUser, call: &CallContext) -> Result<CurrentUser, AccountError> {
        let session = &current.session;
        let user = self.users.by_id(current.user.id, &call.time).await?;
        let user = user.filter(|user| user.is_session_valid(session.id, session.epoch));
        let user = user.ok_or(AccountError::InvalidAccessToken)?;
        Ok(CurrentUser { user, session: session.clone() })
    }
}
