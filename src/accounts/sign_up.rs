//! Sign-up.

use super::{
    call_context::CallContext,
    error::AccountError,
    service::{Accounts, Tokens},
};
use crate::{
    model::{Email, EventKind, Name, User},
    passwords::{CandidatePassword, WorkPermit},
    rate_limit::AttemptSubject,
    store::Insert,
};

/// The data of a new user. Only the strength of the password remains to be estimated.
#[derive(Debug)]
pub struct SignUp {
    /// The display name.
    pub name: Name,
    /// The email to log in with.
    pub email: Email,
    /// The password, checked together with name and email.
    pub password: CandidatePassword,
}

impl Accounts {
    /// Creates a user and logs them in.
    ///
    /// Deciding write: the insert of the user. Before it: the session is opened, so that a created user always receives
    /// tokens. If the insert fails, the session is removed.
    ///
    /// # Errors
    /// Returns [`AccountError::PolicyViolations`] if the password is not accepted, [`AccountError::EmailTaken`] if another
    /// user has this email, [`AccountError::RateLimited`], [`AccountError::Overloaded`] or [`AccountError::Store`].
    pub async fn sign_up(&self, sign_up: SignUp, call: &CallContext) -> Result<Tokens, AccountError> {
        let sign_ups = &self.metrics.accounts.sign_ups;
        sign_ups.counted(self.limited_sign_up(sign_up, call), AccountError::label).await
    }

    async fn limited_sign_up(&self, sign_up: SignUp, call: &CallContext) -> Result<Tokens, AccountError> {
        let subject = AttemptSubject::SignUp(sign_up.email.clone(), call.client.address);
        let attempt = self.begin_attempt(subject, None, call).await?;
        let result = self.create_user(sign_up, attempt.permit(), call).await;
        self.end_sign_up(attempt, &result, call).await;
        result
    }

    async fn create_user(
        &self,
        sign_up: SignUp,
        permit: &WorkPermit,
        call: &CallContext,
    ) -> Result<Tokens, AccountError> {
        let password = self.accept_password(sign_up.password, permit).await?;
        // Check before the expensive hash. The insert checks again.
        if self.users.by_email(&sign_up.email, &call.time).await?.is_some() {
            return Err(AccountError::EmailTaken);
        }
        let hash = self.hasher.hash(permit, password.password()).await?;
        let user = User::new(sign_up.email, sign_up.name, hash, self.clock.now());
        let session = self.open_session(&user, call).await?;
        let tokens = self.first_tokens(&session);
        match self.users.insert(&user, &call.time).await {
            Ok(Insert::Created) => {
                self.metrics.accounts.opened_by_sign_up.inc();
                self.audit.record(EventKind::SignUp, &session, call);
                Ok(tokens)
            }
            outcome => {
                // A session without a user is not valid.
                self.remove_unused_session(&session, call).await;
                Err(outcome.map_or_else(AccountError::Store, |_| AccountError::EmailTaken))
            }
        }
    }
}
