//! Login.

use tracing::debug;

use super::{
    attempts::LoginAttempt,
    call_context::CallContext,
    error::AccountError,
    service::{Accounts, Tokens},
};
use crate::{
    model::{Email, EventKind, User},
    passwords::Password,
    store::StoreError,
};

/// The email and the password of a login.
#[derive(Debug)]
pub struct Credentials {
    /// The email; `None` if the text is not an email address, so that no account can have it.
    pub email: Option<Email>,
    /// The password. The policy is not applied to it.
    pub password: Password,
}

impl Accounts {
    /// Logs a user in with email and password.
    ///
    /// Deciding write: opening the session. After it: the password may be rehashed.
    ///
    /// # Errors
    /// Returns [`AccountError::InvalidCredentials`] if no active user has this email and password,
    /// [`AccountError::RateLimited`], [`AccountError::Overloaded`] or [`AccountError::Store`].
    pub async fn login(&self, credentials: Credentials, call: &CallContext) -> Result<Tokens, AccountError> {
        let logins = &self.metrics.accounts.logins;
        let email = credentials.email.clone();
        let attempt = LoginAttempt { email: email.as_ref(), user: None };
        let result = self.with_login_limit(attempt, call, self.verify_and_open_session(credentials, call));
        logins.counted(result, AccountError::label).await
    }

    async fn verify_and_open_session(
        &self,
        credentials: Credentials,
        call: &CallContext,
    ) -> Result<Tokens, AccountError> {
        let Credentials { email, password } = credentials;
        let user = match &email {
            Some(email) => self.users.by_email(email, &call.time).await?,
            // The store is called all the same, so that the response depends on it as for any other email.
            None => self.users.ping(&call.time).await.map(|_| None)?,
        };
        // Hash even if there is no user: a faster response for unknown emails would reveal which emails have an account.
        let hash = user.as_ref().and_then(|user| user.password.as_ref());
        let matches = self.hasher.verify(&password, hash).await?;
        let may_log_in = |user: &User| matches && user.is_active() && !password.is_too_long();
        let user_id = user.as_ref().map(|user| user.id);
        let Some(user) = user.filter(may_log_in) else {
            self.audit.record(EventKind::LoginFailed, user_id, call);
            return Err(AccountError::InvalidCredentials);
        };
        // The epoch was read together with the verified hash: a password change since then makes this session invalid.
        let session = self.open_session(&user, call).await?;
        self.metrics.accounts.opened_by_login.inc();
        self.audit.record(EventKind::Login, &session, call);
        let tokens = self.first_tokens(&session);
        self.rehash_if_outdated(&user, &password, call).await;
        Ok(tokens)
    }

    /// Rehashes a verified password if the hashing parameters have changed. A failure is only logged, because the next
    /// login tries again.
    async fn rehash_if_outdated(&self, user: &User, password: &Password, call: &CallContext) {
        let is_outdated = user.password.as_ref().is_some_and(|hash| self.hasher.is_outdated(hash));
        if !is_outdated {
            return;
        }
        let rehashed: Result<_, AccountError> = async {
            let hash = self.hasher.rehash(password).await?;
            self.users.rehash(user, &hash, &call.time).await.map_err(|error: StoreError| error.into())
        }
        .await;
        if let Err(error) = rehashed {
            debug!(%error, user = %user.id, "failed to rehash a password");
        }
    }
}
