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
        let changes = &self.metrics.accounts.password_changes;
        changes.counted(self.exchange_password(current, old, new, time), Refusal::label).await
    }

    async fn exchange_password(
        &self,
        current: &CurrentUser,
        old: &Password,
        new: &AcceptedPassword,
        time: &StoreTime,
    ) -> Result<(), Refusal> {
        let (user, session) = (&current.user, &current.session);
        let mut changed = self.replace_password(current, old, new, time).await?;
        if changed == CompareAndSet::Stale {
            // Once more: a login that has renewed the hash meanwhile has changed neither the password nor the epoch.
            let current = self.current_again(current, time).await?;
            changed = self.replace_password(&current, old, new, time).await?;
        }
        if changed == CompareAndSet::Stale {
            self.current_again(current, time).await?;
            return Err(Refusal::WrongPassword);
        }
        match self.sessions.end_others(user.id, session.id, time).await {
            Ok(ended) => self.metrics.accounts.ended_by_password_change.inc_by(ended),
            Err(error) => {
                warn!(%error, user = %user.id, "ended sessions could not be removed; they are refused all the same");
            }
        }
        Ok(())
    }

    /// The deciding write: a compare-and-set on the hash that the old password was verified by.
    async fn replace_password(
        &self,
        current: &CurrentUser,
        old: &Password,
        new: &AcceptedPassword,
        time: &StoreTime,
    ) -> Result<CompareAndSet, Refusal> {
        let (user, session) = (&current.user, &current.session);
        if old.is_too_long() || !self.hasher.verify(old, user.password.as_ref()).await? {
            return Err(Refusal::WrongPassword);
        }
        let hash = self.hasher.hash(new.password()).await?;
        let change = PasswordChange { hash, epoch: Epoch::random(), kept_session: session.id };
        Ok(self.users.change_password(user, &change, time).await?)
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
