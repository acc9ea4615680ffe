//! The contract of user stores.

use async_trait::async_trait;

use super::{error::StoreError, health::StoreHealth, time_budget::TimeBudget};
use crate::model::{AccountStatus, Email, Epoch, Name, PasswordHash, SessionId, User, UserId, UserQuery};

/// Keeps users.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Adds a user, unless its email is taken. Adding the very same user again is [`Insert::Created`], so that an
    /// insert whose answer was lost may be repeated.
    async fn insert(&self, user: &User, time: &TimeBudget) -> Result<Insert, StoreError>;

    /// The user with this email.
    async fn by_email(&self, email: &Email, time: &TimeBudget) -> Result<Option<User>, StoreError>;

    /// The user with this id, from the primary: an epoch must not be stale.
    async fn by_id(&self, id: UserId, time: &TimeBudget) -> Result<Option<User>, StoreError>;

    /// Replaces the hash that was verified by one of the same password, where `verified` is still the user's hash and
    /// epoch and the user is active. The epoch stays: no session ends.
    async fn rehash(
        &self,
        verified: &User,
        hash: &PasswordHash,
        time: &TimeBudget,
    ) -> Result<CompareAndSet, StoreError>;

    /// Replaces hash and epoch and keeps one session in force, under the conditions of [`UserStore::rehash`]. Every other
    /// session of the user has ended with this write.
    async fn change_password(
        &self,
        verified: &User,
        change: &PasswordChange,
        time: &TimeBudget,
    ) -> Result<CompareAndSet, StoreError>;

    /// Users, newest first; with as many as were asked for, there may be more.
    async fn list(&self, query: &UserQuery, time: &TimeBudget) -> Result<Vec<User>, StoreError>;

    /// What is done to a user, whatever the user is now: by an administrator, or by the user. Returns the user as it is
    /// then, where there is one.
    async fn update(&self, id: UserId, update: &UserUpdate, time: &TimeBudget) -> Result<Option<User>, StoreError>;

    /// Deletes a user, and with it every session: without its user, none is in force. Returns whom it has deleted.
    async fn delete(&self, id: UserId, time: &TimeBudget) -> Result<Option<User>, StoreError>;

    /// Deletes a user under the conditions of [`UserStore::rehash`].
    async fn delete_verified(&self, verified: &User, time: &TimeBudget) -> Result<CompareAndSet, StoreError>;

    /// Ends every session of every user in one statement, which gives all users one new epoch. Returns how many there are.
    async fn end_all_sessions(&self, epoch: Epoch, time: &TimeBudget) -> Result<u64, StoreError>;

    /// Whether the store answers, and what it has to say of itself.
    async fn ping(&self, time: &TimeBudget) -> Result<StoreHealth, StoreError>;
}

/// What became of a new user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insert {
    /// It is kept.
    Created,
    /// Another user has its email.
    EmailTaken,
}

/// What became of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareAndSet {
    /// It was made.
    Written,
    /// The user is not any more what it was when it was read; nothing was written.
    Stale,
}

/// What a password change writes.
#[derive(Debug, Clone)]
pub struct PasswordChange {
    /// The new hash.
    pub hash: PasswordHash,
    /// The new epoch, which ends the sessions of the old one.
    pub epoch: Epoch,
    /// The session that goes on: the one that changed the password.
    pub surviving_session: SessionId,
}

/// What is done to a user, whatever the user is now. What gives a new epoch ends every session of the user, the one that
/// changed the password last included.
#[derive(Debug, Clone)]
pub enum UserUpdate {
    /// Gives another name.
    Rename(Name),
    /// Sets a password.
    SetPassword(PasswordHash, Epoch),
    /// Closes the account, or opens it again.
    SetStatus(AccountStatus, Epoch),
    /// Nothing but the new epoch.
    EndSessions(Epoch),
}
