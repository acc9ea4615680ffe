//! The contract of session stores.

use std::time::Duration;

use async_trait::async_trait;

use super::{error::StoreError, health::StoreHealth, time_budget::TimeBudget};
use crate::model::{NewSession, RefreshOutcome, Rotation, Session, SessionId, User, UserId};

/// Keeps sessions. All times are the store's own.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Opens a session: the only write that makes one. Where its user has too many then, those that are out of force go,
    /// and then the oldest ones end.
    async fn open(&self, session: &NewSession, time: &TimeBudget) -> Result<Opened, StoreError>;

    /// The session that a request speaks for, unless it has ended, expired, or gone unused for too long. Whether it is in
    /// force is for [`User::is_session_valid`] to say. That it is used is noted.
    async fn touch(&self, user: UserId, session: SessionId, time: &TimeBudget) -> Result<Option<Session>, StoreError>;

    /// Every session of a user that has not ended, in no particular order: those that are not in force as well.
    async fn list(&self, user: UserId, time: &TimeBudget) -> Result<Vec<Session>, StoreError>;

    /// Decides about a refresh token in one step: by [`User::is_session_valid`], and then by [`Session::apply_refresh`]. Where
    /// that finds a theft, the session has ended. That it is used is noted.
    async fn refresh(&self, attempt: &RefreshAttempt, time: &TimeBudget) -> Result<Refresh, StoreError>;

    /// Ends a session; one that is not there has ended before. Returns how many have ended now: one or none.
    async fn end(&self, user: UserId, session: SessionId, time: &TimeBudget) -> Result<u64, StoreError>;

    /// Removes the sessions that were in force for a user as the user was, but for `kept`: a new epoch, or the user's
    /// deletion, has ended them. Those that were opened since stay, however late this comes. Returns how many there were.
    async fn remove_ended(&self, former: &User, kept: Option<SessionId>, time: &TimeBudget) -> Result<u64, StoreError>;

    /// Whether the store answers, and what it has to say of itself.
    async fn ping(&self, time: &TimeBudget) -> Result<StoreHealth, StoreError>;
}

/// How exactly a session's last use is noted: a use within this time after the noted one is not written, which would
/// cost a write a request.
pub const LAST_USED_RESOLUTION: Duration = Duration::from_mins(1);

/// A session that has been opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The session.
    pub session: Session,
    /// How many sessions of its user have ended, since they would have been too many.
    pub ended: u64,
}

/// An authentic refresh token.
#[derive(Debug, Clone)]
pub struct RefreshAttempt {
    /// Whose session, as read just before.
    pub user: User,
    /// Which session.
    pub session: SessionId,
    /// The counter that the token carries.
    pub counter: u64,
    /// Whether it is to be replaced.
    pub rotation: Rotation,
}

/// What became of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refresh {
    /// The session has ended, expired, gone unused for too long, or is not in force.
    NotValid,
    /// The session was presented with it; and the session as it is afterwards, or was when it ended.
    Decided(RefreshOutcome, Session),
}
