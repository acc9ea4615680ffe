//! The stores: what accounts need to have kept, as traits, and the adapters that keep it.
//!
//! | adapter | users | sessions | attempts | audit events |
//! |---|---|---|---|---|
//! | [`embedded`] | one SQLite file | the same file | | the same file |
//! | [`local`] | | | memory | |
//! | [`postgres`] | PostgreSQL | | | PostgreSQL |
//! | [`redis`] | | Redis | Redis | |
//!
//! Absence is an `Option` and an expected outcome an enum; a [`StoreError`] means that something broke. Every adapter
//! passes the sentences of `tests/stores/suite.rs`.

mod attempts;
mod counted;
pub mod embedded;
mod link;
pub mod local;
pub mod postgres;
pub mod redis;
mod retries;
mod time;
mod url;

use std::{sync::Arc, time::Duration};

use ::time::OffsetDateTime;
use async_trait::async_trait;

pub use self::{
    attempts::{Attempts, Bucket, DEVICE_KNOWN_FOR, Level, Limit, Reservation, Tag},
    time::StoreTime,
    url::{StoreUrl, UrlFile, UrlFileError},
};
use crate::{
    accounts::{
        Email, Epoch, Name, NewSession, PasswordHash, Presentation, Role, Rotation, Session, SessionId, Standing, User,
        UserId, UserQuery,
    },
    audit::{Event, EventId, EventKind, EventQuery},
    metrics::Calls,
};

/// Keeps users.
#[async_trait]
pub trait Users: Send + Sync {
    /// Adds a user, unless its email is taken. Adding the very same user again is [`Insert::Created`], so that an
    /// insert whose answer was lost may be repeated.
    async fn insert(&self, user: &User, time: &StoreTime) -> Result<Insert, StoreError>;

    /// The user with this email.
    async fn by_email(&self, email: &Email, time: &StoreTime) -> Result<Option<User>, StoreError>;

    /// The user with this id, from the primary: an epoch must not be stale.
    async fn by_id(&self, id: UserId, time: &StoreTime) -> Result<Option<User>, StoreError>;

    /// Replaces the hash that was verified by one of the same password, where `verified` is still the user's hash and
    /// epoch and the user is active. The epoch stays: no session ends.
    async fn rehash(&self, verified: &User, hash: &PasswordHash, time: &StoreTime)
    -> Result<CompareAndSet, StoreError>;

    /// Replaces hash and epoch and keeps one session in force, under the conditions of [`Users::rehash`]. Every other
    /// session of the user has ended with this write.
    async fn change_password(
        &self,
        verified: &User,
        change: &PasswordChange,
        time: &StoreTime,
    ) -> Result<CompareAndSet, StoreError>;

    /// Users, newest first; with as many as were asked for, there may be more.
    async fn list(&self, query: &UserQuery, time: &StoreTime) -> Result<Vec<User>, StoreError>;

    /// What is done to a user, whatever the user is now: by an administrator, or by the user. Returns the user as it is
    /// then, where there is one.
    async fn edit(&self, id: UserId, edit: &Edit, time: &StoreTime) -> Result<Option<User>, StoreError>;

    /// Deletes a user, and with it every session: without its user, none is in force. Returns whom it has deleted.
    async fn delete(&self, id: UserId, time: &StoreTime) -> Result<Option<User>, StoreError>;

    /// Deletes a user under the conditions of [`Users::rehash`].
    async fn delete_verified(&self, verified: &User, time: &StoreTime) -> Result<CompareAndSet, StoreError>;

    /// Ends every session of every user in one statement, which gives all users one new epoch. Returns how many there are.
    async fn end_all_sessions(&self, epoch: Epoch, time: &StoreTime) -> Result<u64, StoreError>;

    /// Whether the store answers, and what it has to say of itself.
    async fn ping(&self, time: &StoreTime) -> Result<Pong, StoreError>;
}

/// Keeps sessions. All times are the store's own.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Opens a session: the only write that makes one. Where its user has too many then, those that are out of force go,
    /// and then the oldest ones end.
    async fn open(&self, session: &NewSession, time: &StoreTime) -> Result<Opened, StoreError>;

    /// The session that a request speaks for, unless it has ended, expired, or gone unused for too long. Whether it is in
    /// force is for [`User::keeps_in_force`] to say. That it is used is noted.
    async fn resume(&self, user: UserId, session: SessionId, time: &StoreTime) -> Result<Option<Session>, StoreError>;

    /// Every session of a user that has not ended, in no particular order: those that are not in force as well.
    async fn list(&self, user: UserId, time: &StoreTime) -> Result<Vec<Session>, StoreError>;

    /// Decides about a refresh token in one step: by [`User::keeps_in_force`], and then by [`Session::present`]. Where
    /// that finds a theft, the session has ended. That it is used is noted.
    async fn refresh(&self, attempt: &RefreshAttempt, time: &StoreTime) -> Result<Refresh, StoreError>;

    /// Ends a session; one that is not there has ended before. Returns how many have ended now: one or none.
    async fn end(&self, user: UserId, session: SessionId, time: &StoreTime) -> Result<u64, StoreError>;

    /// Removes the sessions that were in force for a user as the user was, but for `kept`: a new epoch, or the user's
    /// deletion, has ended them. Those that were opened since stay, however late this comes. Returns how many there were.
    async fn remove_ended(&self, former: &User, kept: Option<SessionId>, time: &StoreTime) -> Result<u64, StoreError>;

    /// Whether the store answers, and what it has to say of itself.
    async fn ping(&self, time: &StoreTime) -> Result<Pong, StoreError>;
}

/// Keeps audit events. What is kept never changes, and is removed by its age alone.
#[async_trait]
pub trait AuditEvents: Send + Sync {
    /// Appends events, all or none of them; those that are there already are left out, so that an append whose answer was
    /// lost may be repeated.
    async fn append(&self, events: &[Event], time: &StoreTime) -> Result<(), StoreError>;

    /// Events, newest first.
    async fn list(&self, query: &EventQuery, time: &StoreTime) -> Result<Vec<Event>, StoreError>;

    /// Removes the oldest events, at most so many, whose ids are less than this one, and returns how many. One of the last
    /// 23 hours is not removed, and none with it.
    async fn prune(&self, before: EventId, limit: u32, time: &StoreTime) -> Result<u64, StoreError>;
}

/// What a store says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pong {
    /// The time by its clock.
    pub clock: OffsetDateTime,
    /// What is amiss with its settings, as a sentence for the log.
    pub concern: Option<String>,
}

/// How exactly a session's last use is noted: a use within this time after the noted one is not written, which would
/// cost a write a request.
pub const LAST_USED_RESOLUTION: Duration = Duration::from_mins(1);

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
    pub kept_session: SessionId,
}

/// What is done to a user, whatever the user is now. What gives a new epoch ends every session of the user, the one that
/// changed the password last included.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Gives another name.
    Rename(Name),
    /// Sets a password.
    SetPassword(PasswordHash, Epoch),
    /// Closes the account, or opens it again.
    SetStanding(Standing, Epoch),
    /// Nothing but the new epoch.
    EndSessions(Epoch),
}

/// The same users, with each call counted and timed.
#[must_use]
pub fn counted_users(users: Arc<dyn Users>, calls: Calls) -> Arc<dyn Users> {
    Arc::new(counted::Counted { store: users, calls })
}

/// The same sessions, with each call counted and timed.
#[must_use]
pub fn counted_sessions(sessions: Arc<dyn Sessions>, calls: Calls) -> Arc<dyn Sessions> {
    Arc::new(counted::Counted { store: sessions, calls })
}

/// The same attempts, with each call counted and timed.
#[must_use]
pub fn counted_attempts(attempts: Arc<dyn Attempts>, calls: Calls) -> Arc<dyn Attempts> {
    Arc::new(counted::Counted { store: attempts, calls })
}

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
    NotInForce,
    /// The session was presented with it; and the session as it is afterwards, or was when it ended.
    Presented(Presentation, Session),
}

/// Something broke. Expected outcomes are values of the methods above.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, refuses, or does not answer in time: whether a write took place is not known.
    #[error("{store} is unavailable: {reason}")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// What happened; for the log.
        reason: String,
    },
    /// The store answers something that we never wrote.
    #[error("{store} holds something that cannot be read: {reason}")]
    Corrupt {
        /// Which store.
        store: &'static str,
        /// What is wrong with it; for the log, never with its content.
        reason: String,
    },
}

impl StoreError {
    /// Its name among the outcomes that metrics count.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Corrupt { .. } => "corrupt",
        }
    }

    fn unavailable(store: &'static str, reason: &(impl ToString + ?Sized)) -> Self {
        Self::Unavailable { store, reason: reason.to_string() }
    }

    fn corrupt(store: &'static str, reason: &(impl ToString + ?Sized)) -> Self {
        Self::Corrupt { store, reason: reason.to_string() }
    }
}

/// A standing as the stores write it.
fn standing_text(standing: Standing) -> &'static str {
    match standing {
        Standing::Active => "active",
        Standing::Inactive => "inactive",
    }
}

/// A role as the stores write it.
fn role_text(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Administrator => "administrator",
    }
}

fn read_role(store: &'static str, text: &str) -> Result<Role, StoreError> {
    match text {
        "member" => Ok(Role::Member),
        "administrator" => Ok(Role::Administrator),
        _ => Err(StoreError::corrupt(store, "an unknown role")),
    }
}

fn read_event_kind(store: &'static str, text: &str) -> Result<EventKind, StoreError> {
    text.parse().map_err(|_| StoreError::corrupt(store, "an event of a kind that this version does not know"))
}

fn read_standing(store: &'static str, text: &str) -> Result<Standing, StoreError> {
    match text {
        "active" => Ok(Standing::Active),
        "inactive" => Ok(Standing::Inactive),
        _ => Err(StoreError::corrupt(store, "an unknown standing")),
    }
}
