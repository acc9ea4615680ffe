//! The contract of session stores.

use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{error::StoreError, health::StoreHealth, time_budget::TimeBudget};
use crate::model::{
    LiveSession, NewSession, RefreshOutcome, RefreshedSession, Rotation, Session, SessionId, User, UserId,
};

/// Stores sessions.
///
/// A session is stored from [`open`](Self::open) until it is ended, reaches its `expires`, or, if it has an idle limit,
/// goes unused for that long after its `last_used`. No method finds a session that has ended in one of these ways, even
/// if the store has not removed it yet. All times are taken from the store's own clock.
///
/// A stored session is valid if [`User::is_session_valid`] says so for its user. The store has no users, and never
/// deletes a session only because it is not valid: the epoch may have been stale when it was read. Only `open` creates a
/// session: a write that finds no session must not bring one back.
///
/// Every method but [`touch`](Self::touch) is one atomic operation: if its future is dropped, all of its effect or none
/// takes place. A call counts against `time` while it runs, and fails with [`StoreError::Unavailable`] when that is
/// used up. A call fails with [`StoreError::Corrupt`] if a stored session cannot be read. An implementation may repeat
/// any call whose connection broke: the repetition leaves the same state, but may report an ended session as not found.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Opens a session, with the store's time as `created`, `authenticated`, `rotated` and
    /// `last_used`. If the user then has more than
    /// `session.max_sessions` sessions, removes first those that are not valid by `session.valid_epoch` and
    /// `session.surviving_session`, and then ends the oldest ones. Sessions that are not valid, but were opened in the last
    /// [`OTHER_EPOCH_GRACE`], do not count and stay. The new session stays, whatever its epoch.
    async fn open(&self, session: &NewSession, time: &TimeBudget) -> Result<Opened, StoreError>;

    /// Returns a session and records that it is used, to [`LAST_USED_RESOLUTION`]. The caller decides whether it is
    /// valid ([`User::is_session_valid`]). The use of a session with an idle limit has been recorded when this returns, unless
    /// recording it fails; that of any other is recorded afterwards. What was not recorded is recorded by a later call.
    async fn touch(
        &self,
        user: UserId,
        session: SessionId,
        time: &TimeBudget,
    ) -> Result<Option<LiveSession>, StoreError>;

    /// Records that the user of a session has just been authenticated with the password. Returns the store's time, or `None` if
    /// the session is not stored. Nothing else renews [`LiveSession::authenticated`].
    async fn record_authentication(
        &self,
        user: UserId,
        session: SessionId,
        time: &TimeBudget,
    ) -> Result<Option<OffsetDateTime>, StoreError>;

    /// Returns every stored session of a user, in any order, including those that are not valid.
    async fn list(&self, user: UserId, time: &TimeBudget) -> Result<Vec<Session>, StoreError>;

    /// Applies a refresh token to its session: checks [`User::is_session_valid`], then applies
    /// [`Session::apply_refresh`] and stores the result. Ends the session if the outcome is a reuse
    /// ([`RefreshOutcome::is_reuse`]); otherwise records that the session is used, unless the outcome is
    /// [`RefreshOutcome::Outdated`]. Of concurrent calls with one token, each sees the result of the one before.
    ///
    /// A call must take no effect after `time` is used up: if its client has used a later token meanwhile, a late
    /// refresh would look like a reuse and end the session.
    async fn refresh(&self, attempt: &RefreshAttempt, time: &TimeBudget) -> Result<Refresh, StoreError>;

    /// Ends a session. Returns the number of sessions that this call ended: 0 if it is not stored, otherwise 1.
    async fn end(&self, user: UserId, session: SessionId, time: &TimeBudget) -> Result<u64, StoreError>;

    /// Removes the sessions that a new epoch, or the deletion of their user, has ended: those whose epoch is that of
    /// `former`, the user before that write, and its surviving session, but not `survivor`. Sessions that were opened in a
    /// later epoch stay, no matter how late this call is. Returns the number of sessions removed that had neither ended
    /// nor expired before.
    async fn remove_ended(
        &self,
        former: &User,
        survivor: Option<SessionId>,
        time: &TimeBudget,
    ) -> Result<u64, StoreError>;

    /// Checks that the store responds, and returns its clock and any problem with its settings.
    async fn ping(&self, time: &TimeBudget) -> Result<StoreHealth, StoreError>;
}

/// The resolution of a session's `last_used`. A use is not written if the recorded one is less than this time ago;
/// otherwise every request would cost a write.
pub const LAST_USED_RESOLUTION: Duration = Duration::from_mins(1);

/// How long [`SessionStore::open`] leaves a new session alone that is not valid by the epoch that the opener knows. The
/// session may be of a later epoch: that of a password change, which opens it before its deciding write. The time is twice
/// the longest request (5 min): the change, and a login that read the former epoch just before that write.
pub const OTHER_EPOCH_GRACE: Duration = Duration::from_mins(10);

/// The result of opening a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The session, as it is stored.
    pub session: Session,
    /// The number of valid sessions of the user that ended because of the limit.
    pub ended: u64,
}

/// An authentic refresh token and the state that it is checked against.
#[derive(Debug, Clone)]
pub struct RefreshAttempt {
    /// The user of the session, as read just before.
    pub user: User,
    /// The session that the token names.
    pub session: SessionId,
    /// The counter that the token carries.
    pub counter: u64,
    /// Whether the refresh replaces the token.
    pub rotation: Rotation,
}

/// The outcome of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refresh {
    /// The session is not stored or not valid.
    NotValid,
    /// The token was applied to the session, which is returned as it is afterwards, or as it was when it ended.
    Decided(RefreshOutcome, RefreshedSession),
}
