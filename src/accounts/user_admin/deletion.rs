//! Deletion of users by administrators.

use futures_util::future::join_all;

use super::{
    error::UserAdminError,
    service::{AdminCall, UserAdmin, done},
};
use crate::{
    model::{EventKind, User, UserId},
    store::{AdminWrite, DeletionMode, UserDeletion},
};

/// The outcome of a deletion.
#[derive(Debug)]
pub struct DeletedUsers {
    /// The users as they were before, in the order of their ids.
    pub deleted: Vec<User>,
    /// The ids of no user.
    pub not_found: Vec<UserId>,
}

impl UserAdmin {
    /// Deletes users: all of those that exist, or none. A dry run returns the users who would be deleted, and writes nothing.
    ///
    /// # Errors
    /// Returns [`UserAdminError::LastAdministrator`], [`UserAdminError::MembersOnly`] or [`UserAdminError::Store`].
    pub async fn delete(
        &self,
        mut ids: Vec<UserId>,
        mode: DeletionMode,
        call: &AdminCall<'_>,
    ) -> Result<DeletedUsers, UserAdminError> {
        ids.sort_by_key(|id| id.0);
        ids.dedup();
        let Some(first) = ids.first().copied() else {
            return Ok(DeletedUsers { deleted: Vec::new(), not_found: Vec::new() });
        };
        let event = |id: &UserId| self.audit.event(EventKind::AdminUserDeleted, Some(*id), call.origin.clone());
        let deletion = UserDeletion { events: ids.iter().map(event).collect(), reach: call.reach, mode };
        let deleted = match self.changes.delete(&deletion, call.time).await? {
            AdminWrite::NotFound => Vec::new(),
            write => done(write, first)?,
        };
        let is_deleted = |id: UserId| deleted.iter().any(|user| user.id == id);
        if mode == DeletionMode::Real {
            let events = deletion.events.iter().filter(|event| event.subject.user.is_some_and(is_deleted));
            events.for_each(|event| self.audit.record_inserted(event));
            // At once, so that the embedded store removes them in one commit.
            join_all(deleted.iter().map(|user| self.remove_ended_sessions(user, call.time))).await;
        }
        let not_found = ids.iter().copied().filter(|id| !is_deleted(*id)).collect();
        Ok(DeletedUsers { deleted, not_found })
    }
}
