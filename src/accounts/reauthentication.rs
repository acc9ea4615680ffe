//! Reauthentication: actions that a signed-in user confirms with the password.

use super::{
    attempts::LoginAttempt, authenticate::CurrentUser, call_context::CallContext, error::AccountError,
    service::Accounts,
};
use crate::{
    model::{Epoch, EventKind, User},
    passwords::{AcceptedPassword, Password},
    store::{CompareAndSet, PasswordChange},
};

/// The action that the password confirms.
#[derive(Debug, Clone, Copy)]
pub enum ReauthAction<'password> {
    /// Sets this password. The session that requests it survives.
    PasswordChange(&'password AcceptedPassword),
    /// Deletes the account.
    Deletion,
}

impl Accounts {
    /// Verifies the user's password, then performs `action`. Returns the user as they were before.
    ///
    /// Deciding write: a compare-and-set on the verified hash and the epoch that was read with it.
    ///
    /// # Errors
    /// Returns [`AccountError::WrongPassword`] if the password is wrong, [`AccountError::InvalidAccessToken`] if this session
    /// has ended meanwhile, [`AccountError::RateLimited`], [`AccountError::Overloaded`] or [`AccountError::Store`].
    pub(super) async fn reauthenticate(
        &self,
        current: &CurrentUser,
        password: &Password,
        action: ReauthAction<'_>,
        call: &CallContext,
    ) -> Result<User, AccountError> {
        let attempt = LoginAttempt { email: Some(&current.user.email), user: Some(current.user.id) };
        self.with_login_limit(attempt, call, self.write_with_retry(current, password, action, call)).await
    }

    async fn write_with_retry(
        &self,
        current: &CurrentUser,
        password: &Password,
        action: ReauthAction<'_>,
        call: &CallContext,
    ) -> Result<User, AccountError> {
        if self.verify_and_write(current, password, action, call).await? == CompareAndSet::Written {
            return Ok(current.user.clone());
        }
        // Retry once: a login may have rehashed the password meanwhile, which changes neither password nor epoch.
        let current = self.reload(current, call).await?;
        if self.verify_and_write(&current, password, action, call).await? == CompareAndSet::Written {
            return Ok(current.user);
        }
        self.reload(&current, call).await?;
        Err(AccountError::WrongPassword)
    }

    async fn verify_and_write(
        &self,
        current: &CurrentUser,
        password: &Password,
        action: ReauthAction<'_>,
        call: &CallContext,
    ) -> Result<CompareAndSet, AccountError> {
        let (user, session) = (&current.user, &current.session);
        if password.is_too_long() || !self.hasher.verify(password, user.password.as_ref()).await? {
            self.audit.record(EventKind::PasswordConfirmationFailed, current, call);
            return Err(AccountError::WrongPassword);
        }
        let written = match action {
            ReauthAction::PasswordChange(new) => {
                let hash = self.hasher.hash(new.password()).await?;
                let change = PasswordChange { hash, epoch: Epoch::random(), surviving_session: session.id };
                self.users.change_password(user, &change, &call.time).await
            }
            ReauthAction::Deletion => self.users.delete_verified(user, &call.time).await,
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
