//! The contract of stores in which administrators change users.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{error::StoreError, time_budget::TimeBudget};
use crate::model::{AdminReach, AuditEvent, Epoch, User, UserChange, UserId};

/// Changes users for administrators. Each change is one statement, which also inserts its audit events: there is no change
/// without an event, and no event without a change.
///
/// The store is never left without an administrator: an active user with the role and a password. A write that would remove
/// the last one changes nothing and returns [`AdminWrite::LastAdministrator`], also if several such writes run at once. A store
/// that has none accepts every write.
///
/// Every method is one atomic operation: if its future is dropped, all of its effect or none takes place. A call counts
/// against `time` while it runs, and fails with [`StoreError::Unavailable`] when that is used up. No call is repeated after its
/// connection broke.
#[async_trait]
pub trait UserAdminStore: Send + Sync {
    /// Inserts a user and the event, unless another user has the email.
    async fn create(&self, user: &User, event: &AuditEvent, time: &TimeBudget) -> Result<AdminWrite<()>, StoreError>;

    /// Changes a user and inserts the event. Returns the user as they were before and as they are now, and their last login.
    async fn change(
        &self,
        target: AdminTarget,
        change: &UserChange,
        event: &AuditEvent,
        time: &TimeBudget,
    ) -> Result<AdminWrite<ChangedUser>, StoreError>;

    /// Deletes users, and inserts the event of each user that was deleted: all of those that exist, or none. Returns the users
    /// as they were, in the order of their ids; the ids of other users are not found. The sessions of the users end with this
    /// write.
    async fn delete(&self, deletion: &UserDeletion, time: &TimeBudget) -> Result<AdminWrite<Vec<User>>, StoreError>;

    /// Ends every session of every user: sets the epoch of all users to `epoch` and clears their surviving sessions. Inserts
    /// the event with the detail `users: N`, and returns this number of users.
    async fn end_all_sessions(&self, epoch: Epoch, event: &AuditEvent, time: &TimeBudget) -> Result<u64, StoreError>;
}

/// The user to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdminTarget {
    /// The id.
    pub id: UserId,
    /// Which users the caller may change.
    pub reach: AdminReach,
}

/// The users to delete.
#[derive(Debug, Clone)]
pub struct UserDeletion {
    /// The event of each user to delete, whom it names: at least one, each user once.
    pub events: Vec<AuditEvent>,
    /// Which users the caller may delete.
    pub reach: AdminReach,
    /// Whether the users are deleted.
    pub mode: DeletionMode,
}

/// Whether users are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionMode {
    /// They are deleted.
    Real,
    /// Nothing is written; the outcome is that of a deletion at this moment.
    DryRun,
}

/// A user before and after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedUser {
    /// The user before.
    pub former: User,
    /// The user now.
    pub user: User,
    /// The user's last login.
    pub last_login: Option<OffsetDateTime>,
}

/// The outcome of a write of an administrator. Unless it is [`AdminWrite::Done`], nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminWrite<T> {
    /// The write took place.
    Done(T),
    /// No user has this id.
    NotFound,
    /// Another user has the email.
    EmailTaken,
    /// Afterwards, no active administrator would have a password.
    LastAdministrator,
    /// The caller may create and change members only ([`AdminReach::MembersOnly`]).
    MembersOnly,
}
