//! Sign-up.

use super::{
    call_context::CallContext,
    error::AccountError,
    service::{Accounts, Tokens},
};
use crate::{
    model::{Email, EventKind, Name, User},
    passwords::AcceptedPassword,
    store::Insert,
};

/// Who signs up, all of it valid.
#[derive(Debug)]
pub struct SignUp {
    /// What the user is shown by.
    pub name: Name,
    /// What the user logs in with.
    pub email: Email,
    /// Judged beside name and email.
    pub password: AcceptedPassword,
}

impl Accounts {
    /// Makes an account and logs its user in. The insert decides: the session is opened before, so that whoever is told
    /// of an account has a session, and removed where the insert fails.
    ///
    /// # Errors
    /// [`AccountError::EmailTaken`], [`AccountError::RateLimited`], [`AccountError::Overloaded`], [`AccountError::Store`].
    pub async fn sign_up(&self, sign_up: SignUp, call: &CallContext) -> Result<Tokens, AccountError> {
        let sign_ups = &self.metrics.accounts.sign_ups;
        let email = sign_up.email.clone();
        let made = self.with_sign_up_limit(&email, call, self.create_account(sign_up, call));
        sign_ups.counted(made, AccountError::label).await
    }

    async fn create_account(&self, sign_up: SignUp, call: &CallContext) -> Result<Tokens, AccountError> {
        // Asked for before the expensive hash; the insert asks again.
        if self.users.by_email(&sign_up.email, &call.time).await?.is_some() {
            return Err(AccountError::EmailTaken);
        }
        let hash = self.hasher.hash(sign_up.password.password()).await?;
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
                // A session without a user opens nothing; where it cannot be removed, it expires.
                let _ = self.sessions.end(session.user, session.id, &call.time).await;
                Err(outcome.map_or_else(AccountError::Store, |_| AccountError::EmailTaken))
            }
        }
    }
}
