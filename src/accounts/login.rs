//! Login.

use tracing::debug;
use zeroize::Zeroizing;

use super::{
    call_context::CallContext,
    error::AccountError,
    service::{Accounts, Tokens},
};
use crate::{
    model::{Email, EventKind, SessionId, User},
    passwords::{Password, WorkPermit},
    rate_limit::AttemptSubject,
    store::StoreError,
};

/// The email and the password of a login.
#[derive(Debug)]
pub struct Credentials {
    /// The email; `None` if the text is not an email address, so that no account can have it.
    pub email: Option<Email>,
    /// The password. The policy is not applied to it.
    pub password: Password,
    /// A refresh token of an earlier login, which may have ended. It shows that the client is a device of its user (OWASP,
    /// "Slow Down Online Guessing Attacks with Device Cookies"). Anything else is ignored.
    pub refresh_token: Option<Zeroizing<String>>,
}

/// The account that a login is for.
struct LoginAccount {
    email: Option<Email>,
    /// The session of the refresh token, if that is authentic and of this account.
    session: Option<SessionId>,
    user: UserLookup,
}

/// The user of a login: read once, before or after the attempt is counted.
enum UserLookup {
    Pending,
    Done(Option<User>),
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
        logins.counted(self.limited_login(credentials, call), AccountError::label).await
    }

    async fn limited_login(&self, credentials: Credentials, call: &CallContext) -> Result<Tokens, AccountError> {
        let Credentials { email, password, refresh_token } = credentials;
        let account = self.login_account(email, refresh_token, call).await?;
        let address = call.client.address;
        let subject = match &account.email {
            Some(email) => AttemptSubject::Account(email.clone(), address, account.session),
            None => AttemptSubject::Address(address),
        };
        let attempt = self.begin_login(subject, None, call).await?;
        let result = self.verify_and_open_session(account, &password, attempt.permit(), call).await;
        self.end_login(attempt, &result, call).await;
        result
    }

    /// Reads the user first if an authentic refresh token came with the login, to compare the two. A token that is not
    /// authentic causes no store call, and one of another account causes no other calls than none at all.
    async fn login_account(
        &self,
        email: Option<Email>,
        refresh_token: Option<Zeroizing<String>>,
        call: &CallContext,
    ) -> Result<LoginAccount, AccountError> {
        let mut account = LoginAccount { email, session: None, user: UserLookup::Pending };
        let (Some(email), Some(token)) = (&account.email, refresh_token) else { return Ok(account) };
        let Ok(claims) = self.refresh_tokens.verify(&token).await else { return Ok(account) };
        let user = self.users.by_email(email, &call.time).await?;
        account.session = user.as_ref().filter(|user| user.id == claims.user).map(|_| claims.session);
        account.user = UserLookup::Done(user);
        Ok(account)
    }

    async fn verify_and_open_session(
        &self,
        account: LoginAccount,
        password: &Password,
        permit: &WorkPermit,
        call: &CallContext,
    ) -> Result<Tokens, AccountError> {
        let user = match (account.user, &account.email) {
            (UserLookup::Done(user), _) => user,
            (UserLookup::Pending, Some(email)) => self.users.by_email(email, &call.time).await?,
            // The store is called all the same, so that the response depends on it as for any other email.
            (UserLookup::Pending, None) => self.users.ping(&call.time).await.map(|_| None)?,
        };
        let user_id = user.as_ref().map(|user| user.id);
        // Hash even if nobody may log in: a faster response for unknown emails would reveal which emails have an account.
        let user = user.filter(|user| user.is_active() && !password.is_too_long());
        let hash = user.as_ref().and_then(|user| user.password.as_ref());
        let matches = self.hasher.verify(permit, password, hash).await?;
        let Some(user) = user.filter(|_| matches) else {
            self.audit.record(EventKind::LoginFailed, user_id, call);
            return Err(AccountError::InvalidCredentials);
        };
        // The epoch was read together with the verified hash: a password change since then makes this session invalid.
        let session = self.open_session(&user, call).await?;
        self.metrics.accounts.opened_by_login.inc();
        self.audit.record(EventKind::Login, &session, call);
        let tokens = self.first_tokens(&session);
        self.rehash_if_outdated(&user, password, permit, call).await;
        Ok(tokens)
    }

    /// Rehashes a verified password if the hashing parameters have changed. A failure is only logged, because the next
    /// login tries again.
    async fn rehash_if_outdated(&self, user: &User, password: &Password, permit: &WorkPermit, call: &CallContext) {
        let is_outdated = user.password.as_ref().is_some_and(|hash| self.hasher.is_outdated(hash));
        if !is_outdated {
            return;
        }
        let rehashed: Result<_, AccountError> = async {
            let hash = self.hasher.rehash(permit, password).await?;
            self.users.rehash(user, &hash, &call.time).await.map_err(|error: StoreError| error.into())
        }
        .await;
        if let Err(error) = rehashed {
            debug!(%error, user = %user.id, "failed to rehash a password");
        }
    }
}
