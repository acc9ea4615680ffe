//! What a user confirms by the password: a compare-and-set on the hash that it was verified by.

use super::{Accounts, CurrentUser, Epoch, Refusal, User};
use crate::{
    passwords::{AcceptedPassword, Password},
    store::{CompareAndSet, PasswordChange, StoreTime},
};

/// What is confirmed.
#[derive(Debug, Clone, Copy)]
pub enum Confirmed<'password> {
    /// The password is replaced by this one, and the session that does it is kept.
    PasswordChange(&'password AcceptedPassword),
    /// The account is deleted.
    Deletion,
}

/// What came of it.
enum Written {
    /// The user is this one now.
    Changed(Box<User>),
    /// The user is gone.
    Deleted,
    /// The user is not any more what was verified; nothing was written.
    Stale,
}

impl Accounts {
    /// Does what the user's password confirms, in one deciding write. Returns the user as they are then, if at all.
    ///
    /// # Errors
    /// [`Refusal::WrongPassword`]; [`Refusal::InvalidAccessToken`] where this session has ended meanwhile;
    /// [`Refusal::Overloaded`], [`Refusal::Store`].
    pub(super) async fn confirmed(
        &self,
        current: &CurrentUser,
        password: &Password,
        what: Confirmed<'_>,
        time: &StoreTime,
    ) -> Result<Option<User>, Refusal> {
        let mut written = self.write_confirmed(current, password, what, time).await?;
        if matches!(written, Written::Stale) {
            // Once more: a login that has renewed the hash meanwhile has changed neither the password nor the epoch.
            let current = self.current_again(current, time).await?;
            written = self.write_confirmed(&current, password, what, time).await?;
        }
        match written {
            Written::Changed(user) => Ok(Some(*user)),
            Written::Deleted => Ok(None),
            Written::Stale => {
                self.current_again(current, time).await?;
                Err(Refusal::WrongPassword)
            }
        }
    }

    async fn write_confirmed(
        &self,
        current: &CurrentUser,
        password: &Password,
        what: Confirmed<'_>,
        time: &StoreTime,
    ) -> Result<Written, Refusal> {
        let (user, session) = (&current.user, &current.session);
        if password.is_too_long() || !self.hasher.verify(password, user.password.as_ref()).await? {
            return Err(Refusal::WrongPassword);
        }
        let (written, outcome) = match what {
            Confirmed::PasswordChange(new) => {
                let hash = self.hasher.hash(new.password()).await?;
                let change = PasswordChange { hash, epoch: Epoch::random(), kept_session: session.id };
                let written = self.users.change_password(user, &change, time).await?;
                let PasswordChange { hash, epoch, kept_session } = change;
                let changed = User { password: Some(hash), epoch, kept_session: Some(kept_session), ..user.clone() };
                (written, Written::Changed(Box::new(changed)))
            }
            Confirmed::Deletion => (self.users.delete_verified(user, time).await?, Written::Deleted),
        };
        Ok(if written == CompareAndSet::Written { outcome } else { Written::Stale })
    }

    /// The caller as of now, where the session is still in force.
    async fn current_again(&self, current: &CurrentUser, time: &StoreTime) -> Result<CurrentUser, Refusal> {
        let session = &current.session;
        let user = self.users.by_id(current.user.id, time).await?;
        let user = user.filter(|user| user.keeps_in_force(session.id, session.epoch));
        let user = user.ok_or(Refusal::InvalidAccessToken)?;
        Ok(CurrentUser { user, session: session.clone() })
    }
}
