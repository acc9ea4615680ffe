//! The contract of user stores.

use std::fmt;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::{error::StoreError, health::StoreHealth, time_budget::TimeBudget};
use crate::model::{Email, Epoch, Name, PasswordHash, SessionId, User, UserId};

/// Stores users.
///
/// Every method is one atomic operation: if its future is dropped, all of its effect or none takes place. A call counts
/// against `time` while it runs, and fails with [`StoreError::Unavailable`] when that is used up. A call fails with
/// [`StoreError::Corrupt`] if a stored user cannot be read. A lookup that finds nothing is `None`, not an error.
///
/// An implementation may repeat a call whose connection broke only if the repetition leaves the same state and returns
/// the same result: [`insert`](Self::insert) and the methods that only read.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Inserts a user, unless another user has the same email: of two concurrent inserts with one email, exactly one is
    /// [`Insert::Created`]. Inserting a user whose id and email are stored already is also [`Insert::Created`], so an
    /// insert whose response was lost can be repeated.
    async fn insert(&self, user: &User, time: &TimeBudget) -> Result<Insert, StoreError>;

    /// Returns the user with this email. An [`Email`] is normalised, so the comparison is exact.
    async fn by_email(&self, email: &Email, time: &TimeBudget) -> Result<Option<User>, StoreError>;

    /// Returns the user with this id. Every write that completed before the call is visible: the call must not go to a
    /// replica, because a stale epoch would accept sessions that have ended.
    async fn by_id(&self, id: UserId, time: &TimeBudget) -> Result<Option<User>, StoreError>;

    /// Replaces the password hash with another hash of the same password, as a compare-and-set: only if the stored user
    /// is active and still has the id, the password hash and the epoch of `verified`. A user without a password never
    /// matches. The epoch stays the same, so no session ends.
    async fn rehash(
        &self,
        verified: &User,
        hash: &PasswordHash,
        time: &TimeBudget,
    ) -> Result<CompareAndSet, StoreError>;

    /// Sets the password hash, the epoch and the surviving session, under the conditions of [`rehash`](Self::rehash).
    /// This write ends every session of the user but the surviving one, because their epoch differs from the new one.
    async fn change_password(
        &self,
        verified: &User,
        change: &PasswordChange,
        time: &TimeBudget,
    ) -> Result<CompareAndSet, StoreError>;

    /// Returns at most `limit` users, 1 to 1,000, whose ids are greater than `after`, in the order of their ids. A caller that continues
    /// after the last user of each page, until a page has fewer than `limit` users, reads each user at most once, and each
    /// user exactly once who exists from the first call to the last.
    async fn list_by_id(&self, after: Option<UserId>, limit: u32, time: &TimeBudget) -> Result<Vec<User>, StoreError>;

    /// Updates a user for themself, unconditionally. Returns the user after the update, or `None` if no user has this id.
    async fn update(&self, id: UserId, update: &UserUpdate, time: &TimeBudget) -> Result<Option<User>, StoreError>;

    /// Deletes a user under the conditions of [`rehash`](Self::rehash), if they also have the role of `verified`, unless they are
    /// the last administrator ([`UserAdminStore`](super::UserAdminStore)). The user's sessions end with this write, because a
    /// session is valid only while its user exists.
    async fn delete_verified(&self, verified: &User, time: &TimeBudget) -> Result<OwnDeletion, StoreError>;

    /// Returns what unknown emails are compared with while users have imported hashes. Returns `None` if no import has stored
    /// any.
    async fn imported_hashes(&self, time: &TimeBudget) -> Result<Option<ImportedHashStats>, StoreError>;

    /// Checks that the store responds, and returns its clock and any problem with its settings.
    async fn ping(&self, time: &TimeBudget) -> Result<StoreHealth, StoreError>;
}

/// The outcome of an insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insert {
    /// The user is stored.
    Created,
    /// Another user has the email; nothing was written.
    EmailTaken,
}

/// The outcome of a compare-and-set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareAndSet {
    /// The user matched and was written.
    Written,
    /// The user has changed since it was read, is inactive, or no longer exists; nothing was written.
    Stale,
}

/// The outcome of a deletion of a user by themself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnDeletion {
    /// The user matched and was deleted.
    Deleted,
    /// The user has changed since it was read, is inactive, or no longer exists; nothing was deleted.
    Stale,
    /// Afterwards, no active administrator would have a password; nothing was deleted.
    LastAdministrator,
}

/// The columns that a password change writes.
#[derive(Debug, Clone)]
pub struct PasswordChange {
    /// The new hash.
    pub hash: PasswordHash,
    /// The new epoch, which ends the sessions that were opened in earlier ones.
    pub epoch: Epoch,
    /// The session that stays valid although it was opened in an earlier epoch, if any.
    pub surviving_session: Option<SessionId>,
}

/// An unconditional update of a user by themself. A variant with an [`Epoch`] sets it as the user's epoch and clears the surviving
/// session, which ends every session of the user.
#[derive(Debug, Clone)]
pub enum UserUpdate {
    /// Sets the name.
    Rename(Name),
    /// Sets only the epoch.
    EndSessions(Epoch),
}

/// The imported hashes of a store.
#[derive(Clone, PartialEq, Eq)]
pub struct ImportedHashStats {
    /// The key that assigns unknown emails to a kind of hash.
    pub key: Zeroizing<[u8; 32]>,
    /// The algorithm and the cost parameters with which most users were imported.
    pub recipe: String,
    /// The users who still have an imported hash. A large number is an estimate.
    pub remaining: u64,
    /// All users. A large number is an estimate.
    pub users: u64,
}

impl fmt::Debug for ImportedHashStats {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: _, recipe, remaining, users } = self;
        let mut shown = formatter.debug_struct("ImportedHashStats");
        shown.field("recipe", recipe).field("remaining", remaining).field("users", users).finish_non_exhaustive()
    }
}
