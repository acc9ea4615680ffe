//! Reauthentication: actions that a signed-in user confirms with the password.

use super::{
    attempts::LoginAttempt, authenticate::CurrentUser, call_context::CallContext, error::AccountError,
    service::Accounts,
};
use crate::{
    model::{EventKind, Session, User},
    passwords::{AcceptedPassword, Password},
    store::CompareAndSet,
};

/// The action that the password confirms.
#[derive(Debug, Clone, Copy)]
pub enum ReauthAction<'password> {
    /// Sets this password, and ends these sessions.
    PasswordChange(&'password AcceptedPassword, EndedSessions),
    /// Deletes the account.
    Deletion,
}

/// The sessions that a password change ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedSessions {
    /// Every session but the one that requests the change.
    Others,
    /// Every session. The client that requests the change receives a new one.
    All,
}

/// The outcome of an action that took place.
#[derive(Debug)]
pub(super) struct Reauthenticated {
    /// The user as they were before.
    pub former: User,
    /// The session that the action opened, if any.
    pub opened: Option<Session>,
}

impl Accounts {
    /// Verifies the user's password, then performs `action`.
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
    ) -> Result<Reauthenticated, AccountError> {
        let attempt = LoginAttempt { email: Some(&current.user.email), user: Some(current.user.id) };
        self.with_login_limit(attempt, call, self.write_with_retry(current, password, action, call)).await
    }

    async fn write_with_retry(
        &self,
        current: &CurrentUser,
        password: &Password,
        action: ReauthAction<'_>,
        call: &CallContext,
    ) -> Result<Reauthenticated, AccountError> {
        if let Some(done) = self.verify_and_write(current, password, action, call).await? {
            return Ok(done);
        }
        // Retry once: a login may have rehashed the password meanwhile, which changes neither password nor epoch.
        let current = self.reload(current, call).await?;
        if let Some(done) = self.verify_and_write(&current, password, action, call).await? {
            return Ok(done);
        }
        self.reload(&current, call).await?;
        Err(AccountError::WrongPassword)
    }

    /// Returns `None` if the user has changed since they were read.
    async fn verify_and_write(
        &self,
        current: &CurrentUser,
        password: &Password,
        action: ReauthAction<'_>,
        call: &CallContext,
    ) -> Result<Option<Reauthenticated>, AccountError> {
        let user = &current.user;
        if password.is_too_long() || !self.hasher.verify(password, user.password.as_ref()).await? {
            self.audit.record(EventKind::PasswordConfirmationFailed, current, call);
            return Err(AccountError::WrongPassword);
        }
        let (written, opened) = match action {
            ReauthAction::PasswordChange(new, ended) => {
                let hash = self.hasher.hash(new.password()).await?;
                match ended {
                    EndedSessions::Others => (self.replace_password(current, hash, call).await?, None),
                    EndedSessions::All => self.replace_password_and_session(user, hash, call).await?,
                }
            }
            ReauthAction::Deletion => (self.users.delete_verified(user, &call.time).await?, None),
        };
        Ok((written == CompareAndSet::Written).then(|| Reauthenticated { former: user.clone(), opened }))
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
