//! Login.

use tracing::debug;
use zeroize::Zeroizing;

use super::{
    attempts::CountedAttempt,
    call_context::CallContext,
    error::AccountError,
    service::{Accounts, Tokens},
};
use crate::{
    model::{Email, EventKind, User},
    passwords::{Comparison, Password, PasswordForm, WorkPermit},
    rate_limit::AttemptSubject,
    store::StoreError,
    tokens::RefreshClaims,
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
        // Without a reload of the keys: every server knows a key before it signs.
        let claims = refresh_token.and_then(|token| self.refresh_tokens.verify_now(&token).ok());
        let (known, user) = match (&email, claims) {
            (Some(email), Some(claims)) => self.begin_attempt_with_token(email, &claims, call).await?,
            _ => (None, UserLookup::Pending),
        };
        let mut attempt = match (known, &email) {
            (Some(attempt), _) => attempt,
            (None, Some(email)) => {
                self.begin_attempt(AttemptSubject::Account(email.clone(), call.client.address), None, call).await?
            }
            (None, None) => self.begin_attempt(AttemptSubject::Address(call.client.address), None, call).await?,
        };
        let result = async {
            let user = self.login_user(user, email.as_ref(), call).await?;
            self.verify_and_open_session((user, email.as_ref()), &password, &mut attempt, call).await
        }
        .await;
        self.end_login(attempt, &result, call).await;
        result
    }

    /// Counts a login against the session of its refresh token. Returns no attempt if the token is of another account, or if
    /// the limit of its session delays it: the login then counts like one without a token.
    async fn begin_attempt_with_token(
        &self,
        email: &Email,
        token: &RefreshClaims,
        call: &CallContext,
    ) -> Result<(Option<CountedAttempt>, UserLookup), AccountError> {
        let session = (token.user, token.session);
        let subject = AttemptSubject::KnownSession(email.clone(), session, call.client.address);
        let attempt = match self.begin_attempt(subject, Some(token.user), call).await {
            Ok(attempt) => attempt,
            Err(AccountError::RateLimited(_)) => return Ok((None, UserLookup::Pending)),
            Err(error) => return Err(error),
        };
        let user = self.users.by_email(email, &call.time).await?;
        if user.as_ref().is_some_and(|user| user.id == token.user) {
            return Ok((Some(attempt), UserLookup::Done(user)));
        }
        // Counted: a token of another account must not cause look-ups without limit.
        attempt.count_as_failed(call).await;
        Ok((None, UserLookup::Done(user)))
    }

    async fn login_user(
        &self,
        user: UserLookup,
        email: Option<&Email>,
        call: &CallContext,
    ) -> Result<Option<User>, AccountError> {
        Ok(match (user, email) {
            (UserLookup::Done(user), _) => user,
            (UserLookup::Pending, Some(email)) => self.users.by_email(email, &call.time).await?,
            // The store is called all the same, so that the response depends on it as for any other email.
            (UserLookup::Pending, None) => self.users.ping(&call.time).await.map(|_| None)?,
        })
    }

    async fn verify_and_open_session(
        &self,
        (user, email): (Option<User>, Option<&Email>),
        password: &Password,
        attempt: &mut CountedAttempt,
        call: &CallContext,
    ) -> Result<Tokens, AccountError> {
        let user_id = user.as_ref().map(|user| user.id);
        attempt.record_failure(&self.audit, EventKind::LoginFailed, user_id.into(), call);
        // Hash even if nobody may log in: a faster response for unknown emails would reveal which emails have an account.
        let comparison = self.imported_hashes.comparison(user.as_ref(), email);
        let user = user.filter(User::is_active);
        let comparison = if user.is_some() { comparison } else { comparison.never_matching() };
        self.charge_cost(attempt, (&comparison, password), call).await?;
        let permit = attempt.permit();
        let form = self.hasher.compare(permit, password, comparison).await?;
        let (user, form) = user.zip(form).ok_or(AccountError::InvalidCredentials)?;
        // The epoch was read together with the verified hash: a password change since then makes this session invalid.
        let session = self.open_session(&user, call).await?;
        self.metrics.accounts.opened_by_login.inc();
        self.audit.record(EventKind::Login, &session, call);
        let tokens = self.first_tokens(&session);
        // Boxed: few logins need it, and its future would be part of every login's.
        Box::pin(self.rehash_if_outdated(&user, (password, form), permit, call)).await;
        Ok(tokens)
    }

    /// Rehashes a verified password if the hashing parameters have changed or the hash is imported; the latter waits in the
    /// queue of hashes, for at most half of the time that the request has left. A failure is only logged,
    /// because the next login tries again. A password that is too long to be set keeps its imported hash.
    async fn rehash_if_outdated(
        &self,
        user: &User,
        (password, form): (&Password, PasswordForm),
        permit: &WorkPermit,
        call: &CallContext,
    ) {
        let is_outdated = user.password.as_ref().is_some_and(|hash| self.hasher.is_outdated(hash));
        if !is_outdated || password.is_too_long() {
            return;
        }
        let is_imported = user.password.as_ref().and_then(Comparison::with).is_some_and(|hash| hash.is_imported());
        let rehashed: Result<_, AccountError> = async {
            let hash = if is_imported {
                // The response waits for it, but ends in time.
                let renewed = call.time.limit_to_half("hashing queue", self.hasher.renew(permit, password, form));
                renewed.await??
            } else {
                self.hasher.rehash(permit, password, form).await?
            };
            self.users.rehash(user, &hash, &call.time).await.map_err(|error: StoreError| error.into())
        }
        .await;
        if let Err(error) = rehashed {
            debug!(%error, user = %user.id, "failed to rehash a password");
        }
    }
}
