//! Password change.

use tracing::warn;

use super::{Accounts, CurrentUser, Epoch, Refusal};
use crate::{
    passwords::{AcceptedPassword, Password},
    store::{CompareAndSet, PasswordChange, StoreTime},
};

impl Accounts {
    /// Replaces the password of whoever knows the old one. This session lives on, every other one ends: the write of
    /// hash and epoch decides, and removing the ended sessions afterwards only tidies up.
    ///
    /// # Errors
    /// [`Refusal::WrongPassword`]; [`Refusal::InvalidAccessToken`] where another change has ended this session
    /// meanwhile; [`Refusal::Overloaded`], [`Refusal::Store`].
    pub async fn change_password(
        &self,
        current: &CurrentUser,
        old: &Password,
        new: &AcceptedPassword,
        time: &StoreTime,
    ) -> Result<(), Refusal> {
        let (user, session) = (&current.user, &current.session);
        if old.is_too_long() || !self.hasher.verify(old, user.password.as_ref()).await? {
            return Err(Refusal::WrongPassword);
        }
        let hash = self.hasher.hash(new.password()).await?;
        let change = PasswordChange { hash, epoch: Epoch::random(), kept_session: session.id };
        match self.users.change_password(user, &change, time).await? {
            CompareAndSet::Written => {}
            CompareAndSet::Stale => return Err(self.why_stale(current, time).await?),
        }
        if let Err(error) = self.sessions.end_others(user.id, session.id, time).await {
            warn!(%error, user = %user.id, "ended sessions could not be removed; they are refused all the same");
        }
        Ok(())
    }

    /// What to tell a caller whose user is not any more what it was: another change came first.
    async fn why_stale(&self, current: &CurrentUser, time: &StoreTime) -> Result<Refusal, Refusal> {
        let (user, session) = (&current.user, &current.session);
        let user = self.users.by_id(user.id, time).await?;
        let lives = user.is_some_and(|user| user.keeps_in_force(session.id, session.epoch));
        Ok(if lives { Refusal::WrongPassword } else { Refusal::InvalidAccessToken })
    }
}
