//! What a user confirms by the password: a compare-and-set on the hash that it was verified by.

use super::{
    attempts::LoginAttempt, authenticate::CurrentUser, call_context::CallContext, error::AccountError,
    service::Accounts,
};
use crate::{
    model::{Epoch, EventKind, User},
    passwords::{AcceptedPassword, Password},
    store::{CompareAndSet, PasswordChange},
};

/// What is confirmed.
#[derive(Debug, Clone, Copy)]
pub enum ReauthAction<'password> {
    /// The password is replaced by this one, and the session that does it is kept.
    PasswordChange(&'password AcceptedPassword),
    /// The account is deleted.
    Deletion,
}

impl Accounts {
    /// Does what the user's password confirms, in one deciding write. Returns the user as they were before.
    ///
    /// # Errors
    /// [`AccountError::WrongPassword`]; [`AccountError::InvalidAccessToken`] where this session has ended meanwhile;
    /// [`AccountError::RateLimited`], [`AccountError::Overloaded`], [`AccountError::Store`].
    pub(super) async fn reauthenticate(
        &self,
        current: &CurrentUser,
        password: &Password,
        what: ReauthAction<'_>,
        call: &CallContext,
    ) -> Result<User, AccountError> {
        let with_login_limit = LoginAttempt { email: Some(&current.user.email), user: Some(current.user.id) };
        self.with_login_limit(with_login_limit, call, self.verify_and_write(current, password, what, call)).await
    }

    async fn verify_and_write(
        &self,
        current: &CurrentUser,
        password: &Password,
        what: ReauthAction<'_>,
        call: &CallContext,
    ) -> Result<User, AccountError> {
        if self.write_confirmed(current, password, what, call).await? == CompareAndSet::Written {
            return Ok(current.user.clone());
        }
        // Once more: a login that has renewed the hash meanwhile has changed neither the password nor the epoch.
        let current = self.reload(current, call).await?;
        if self.write_confirmed(&current, password, what, call).await? == CompareAndSet::Written {
            return Ok(current.user);
        }
        self.reload(&current, call).await?;
        Err(AccountError::WrongPassword)
    }

    async fn write_confirmed(
        &self,
        current: &CurrentUser,
        password: &Password,
        what: ReauthAction<'_>,
        call: &CallContext,
    ) -> Result<CompareAndSet, AccountError> {
        let (user, session) = (&current.user, &current.session);
        if password.is_too_long() || !self.hasher.verify(password, user.password.as_ref()).await? {
            self.audit.record(EventKind::PasswordConfirmationFailed, current, call);
            return Err(AccountError::WrongPassword);
        }
        let written = match what {
            ReauthAction::PasswordChange(new) => {
                let hash = self.hasher.hash(new.password()).await?;
                let change = PasswordChange { hash, epoch: Epoch::random(), surviving_session: session.id };
                self.users.change_password(user, &change, &call.time).await
            }
            ReauthAction::Deletion => self.users.delete_verified(user, &call.time).await,
        };
        Ok(written?)
    }

    /// The caller as of now, where the session is still in force.
    async fn reload(&self, current: &CurrentUser, call: &CallContext) -> Result<CurrentUser, AccountError> {
        let session = &current.session;
        let user = self.users.by_id(current.user.id, &call.time).await?;
        let user = user.filter(|user| user.is_session_valid(session.id, session.epoch));
        let user = user.ok_or(AccountError::InvalidAccessToken)?;
        Ok(CurrentUser { user, session: session.clone() })
    }
}
