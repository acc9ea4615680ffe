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

/// What somebody logs in with.
#[derive(Debug)]
pub struct Credentials {
    /// `None` where it is no email address: then nobody has it.
    pub email: Option<Email>,
    /// As typed: no policy is applied to it.
    pub password: Password,
}

impl Accounts {
    /// Opens a session for whoever knows email and password. Opening it decides.
    ///
    /// # Errors
    /// [`AccountError::InvalidCredentials`], [`AccountError::RateLimited`], [`AccountError::Overloaded`], [`AccountError::Store`].
    pub async fn login(&self, credentials: Credentials, call: &CallContext) -> Result<Tokens, AccountError> {
        let logins = &self.metrics.accounts.logins;
        let email = credentials.email.clone();
        let with_login_limit = LoginAttempt { email: email.as_ref(), user: None };
        let login = self.with_login_limit(with_login_limit, call, self.log_in(credentials, call));
        logins.counted(login, AccountError::label).await
    }

    async fn log_in(&self, credentials: Credentials, call: &CallContext) -> Result<Tokens, AccountError> {
        let Credentials { email, password } = credentials;
        let user = match &email {
            Some(email) => self.users.by_email(email, &call.time).await?,
            // Nobody can have it. The store is asked all the same: the answer shall depend on it as any other does.
            None => self.users.ping(&call.time).await.map(|_| None)?,
        };
        // Hash even where no user was found: a faster answer for unknown emails would tell who has an account.
        let hash = user.as_ref().and_then(|user| user.password.as_ref());
        let matches = self.hasher.verify(&password, hash).await?;
        let may_log_in = |user: &User| matches && user.is_active() && !password.is_too_long();
        let known = user.as_ref().map(|user| user.id);
        let Some(user) = user.filter(may_log_in) else {
            self.audit.record(EventKind::LoginFailed, known, call);
            return Err(AccountError::InvalidCredentials);
        };
        // The epoch came with the hash that was verified: a password change in between leaves this session out of force.
        let session = self.open_session(&user, call).await?;
        self.metrics.accounts.opened_by_login.inc();
        self.audit.record(EventKind::Login, &session, call);
        let tokens = self.first_tokens(&session);
        self.renew_hash(&user, &password, call).await;
        Ok(tokens)
    }

    /// Hashes a password again where the parameters have changed since. It has been verified, so this may fail: the next
    /// login tries again.
    async fn renew_hash(&self, user: &User, password: &Password, call: &CallContext) {
        let is_outdated = user.password.as_ref().is_some_and(|hash| self.hasher.is_outdated(hash));
        if !is_outdated {
            return;
        }
        let renewed: Result<_, AccountError> = async {
            let hash = self.hasher.rehash(password).await?;
            self.users.rehash(user, &hash, &call.time).await.map_err(|error: StoreError| error.into())
        }
        .await;
        if let Err(error) = renewed {
            debug!(%error, user = %user.id, "an outdated hash could not be renewed");
        }
    }
}
