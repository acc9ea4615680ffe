//! Sessions of a user, for administrators.

use super::{
    error::UserAdminError,
    service::{AdminCall, UserAdmin},
    user_ref::UserRef,
};
use crate::{
    accounts::sessions::valid_sessions,
    model::{EventKind, Session, SessionId, User, UserId},
    store::TimeBudget,
};

impl UserAdmin {
    /// Returns the valid sessions of a user, newest first; none without a session store.
    ///
    /// # Errors
    /// Returns [`UserAdminError::NoSuchUser`] if there is no such user, or [`UserAdminError::Store`].
    pub async fn list_sessions(&self, id: UserId, time: &TimeBudget) -> Result<Vec<Session>, UserAdminError> {
        let user = self.find(&UserRef::Id(id), time).await?;
        self.valid_sessions(&user, time).await
    }

    /// Ends one session of a user.
    ///
    /// Deciding write: ending the session.
    ///
    /// # Errors
    /// Returns [`UserAdminError::NoSuchUser`] if there is no such user, [`UserAdminError::SessionNotFound`] if the user has no
    /// valid session with this id, [`UserAdminError::MembersOnly`] or [`UserAdminError::Store`].
    pub async fn end_session(
        &self,
        (id, session): (UserId, SessionId),
        call: &AdminCall<'_>,
    ) -> Result<(), UserAdminError> {
        let user = self.find(&UserRef::Id(id), call.time).await?;
        call.check_reach(user.role)?;
        let sessions = self.valid_sessions(&user, call.time).await?;
        let session = sessions.iter().find(|valid| valid.id == session).ok_or(UserAdminError::SessionNotFound)?;
        if let Some(store) = &self.sessions {
            store.end(session.user, session.id, call.time).await?;
        }
        self.audit.record(EventKind::AdminSessionEnded, session, call.origin.clone());
        Ok(())
    }

    async fn valid_sessions(&self, user: &User, time: &TimeBudget) -> Result<Vec<Session>, UserAdminError> {
        let Some(sessions) = &self.sessions else { return Ok(Vec::new()) };
        Ok(valid_sessions(&**sessions, user, time).await?)
    }
}
