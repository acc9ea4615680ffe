//! What a user confirms by the password: a compare-and-set on the hash that it was verified by.

use super::{attempts::Guess, authenticate::CurrentUser, call_context::Call, error::Refusal, service::Accounts};
use crate::{
    model::{Epoch, EventKind, User},
    passwords::{AcceptedPassword, Password},
    store::{CompareAndSet, PasswordChange},
};

/// What is confirmed.
#[derive(Debug, Clone, Copy)]
pub enum Confirmed<'password> {
    /// The password is replaced by this one, and the session that does it is kept.
    PasswordChange(&'password AcceptedPassword),
    /// The account is deleted.
    Deletion,
}

impl Accounts {
    /// Does what the user's password confirms, in one deciding write. Returns the user as they were before.
    ///
    /// # Errors
    /// [`Refusal::WrongPassword`]; [`Refusal::InvalidAccessToken`] where this session has ended meanwhile;
    /// [`Refusal::Throttled`], [`Refusal::Overloaded`], [`Refusal::Store`].
    pub(super) async fn confirmed(
        &self,
        current: &CurrentUser,
        password: &Password,
        what: Confirmed<'_>,
        call: &Call,
    ) -> Result<User, Refusal> {
        let guess = Guess { email: Some(&current.user.email), user: Some(current.user.id) };
        self.guess(guess, call, self.verify_and_write(current, password, what, call)).await
    }

    async fn verify_and_write(
        &self,
        current: &CurrentUser,
        password: &Password,
        what: Confirmed<'_>,
        call: &Call,
    ) -> Result<User, Refusal> {
        if self.write_confirmed(current, password, what, call).await? == CompareAndSet::Written {
            return Ok(current.user.clone());
        }
        // Once more: a login that has renewed the hash meanwhile has changed neither the password nor the epoch.
        let current = self.current_again(current, call).await?;
        if self.write_confirmed(&current, password, what, call).await? == CompareAndSet::Written {
            return Ok(current.user);
        }
        self.current_again(&current, call).await?;
        Err(Refusal::WrongPassword)
    }

    async fn write_confirmed(
        &self,
        current: &CurrentUser,
        password: &Password,
        what: Confirmed<'_>,
        call: &Call,
    ) -> Result<CompareAndSet, Refusal> {
        let (user, session) = (&current.user, &current.session);
        if password.is_too_long() || !self.hasher.verify(password, user.password.as_ref()).await? {
            self.audit.record(EventKind::PasswordConfirmationFailed, current, call);
            return Err(Refusal::WrongPassword);
        }
        let written = match what {
            Confirmed::PasswordChange(new) => {
                let hash = self.hasher.hash(new.password()).await?;
                let change = PasswordChange { hash, epoch: Epoch::random(), kept_session: session.id };
                self.users.change_password(user, &change, &call.time).await
            }
            Confirmed::Deletion => self.users.delete_verified(user, &call.time).await,
        };
        Ok(written?)
    }

    /// The caller as of now, where the session is still in force.
    async fn current_again(&self, current: &CurrentUser, call: &Call) -> Result<CurrentUser, Refusal> {
        let session = &current.session;
        let user = self.users.by_id(current.user.id, &call.time).await?;
        let user = user.filter(|user| user.keeps_in_force(session.id, session.epoch));
        let user = user.ok_or(Refusal::InvalidAccessToken)?;
        Ok(CurrentUser { user, session: session.clone() })
    }
}
