//! Audit events: their kinds, subjects and origins.

use std::{fmt, net::IpAddr, str::FromStr};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    display_text::DisplayText,
    id::{SessionId, UserId},
    session::{Client, LiveSession, RefreshedSession, Session},
    user::User,
};
use crate::clock::{round_up, unix_ms};

/// An event of an account, a session or the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// The id. Ids are in the order of the events of one server.
    pub id: EventId,
    /// The time, in whole milliseconds.
    pub at: OffsetDateTime,
    /// The kind, which also determines the level in the log.
    pub kind: EventKind,
    /// The account and the session that the event is about.
    pub subject: AuditSubject,
    /// The client, command or server that caused the event.
    pub origin: AuditOrigin,
}

/// The id of an event: a UUIDv7 of its time (RFC 9562, section 5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId(pub Uuid);

impl EventId {
    /// Returns the lowest id that an event of this time can have.
    #[must_use]
    pub fn first_at(time: OffsetDateTime) -> Self {
        let milliseconds = u64::try_from(unix_ms(time)).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(milliseconds, &[0; 10]).into_uuid())
    }
}

/// The kind of an event. The names never change, because operators search and alert by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A user signed up, which opened a session.
    SignUp,
    /// A session was opened with email and password.
    Login,
    /// A login was rejected.
    LoginFailed,
    /// A rate limit rejected a request.
    Throttled,
    /// `rate_limit::FAILURES_IN_A_ROW` passwords in a row were wrong.
    PasswordFailures,
    /// A refresh token was used again and accepted, as after a lost response or from a second tab.
    RefreshTokenReused,
    /// Refresh-token reuse was detected, and the session ended.
    RefreshTokenTheft,
    /// A refresh token was newer than its session: the session store has lost writes.
    SessionStoreRollback,
    /// A session was ended with its refresh token.
    Logout,
    /// A session was to be ended with its refresh token, but had already ended.
    LogoutRepeated,
    /// A user ended all their sessions.
    LogoutEverywhere,
    /// A user ended one of their sessions.
    SessionEnded,
    /// A user had too many sessions, and the oldest ones ended.
    SessionsDisplaced,
    /// A user changed the password, which ended every other session.
    PasswordChanged,
    /// A signed-in user gave a wrong password to confirm an action.
    PasswordConfirmationFailed,
    /// A user changed their name.
    ProfileChanged,
    /// A user exported their own data.
    ProfileExported,
    /// A user deleted the account.
    AccountDeleted,
    /// A server loaded changed keys.
    KeysChanged,
    /// A server started.
    ServerStarted,
    /// A signed-in user confirmed their identity with the password.
    Reauthenticated,
    /// An administrator created a user.
    AdminUserCreated,
    /// An administrator changed fields of a user for which there is no kind of its own.
    AdminUserChanged,
    /// An administrator changed a user's name.
    AdminUserRenamed,
    /// An administrator set a user's password, which ended every session.
    AdminPasswordSet,
    /// An administrator removed a user's password, which ended every session.
    AdminPasswordDisabled,
    /// An administrator deactivated an account, which ended every session.
    AdminUserDeactivated,
    /// An administrator activated an account.
    AdminUserActivated,
    /// An administrator deleted an account.
    AdminUserDeleted,
    /// An administrator ended one session of a user.
    AdminSessionEnded,
    /// An administrator ended all sessions of a user.
    AdminSessionsEnded,
    /// An administrator ended all sessions of all users.
    AdminAllSessionsEnded,
    /// An administrator exported all users: recorded at the beginning and at the end.
    AdminUsersExported,
    /// An administrator imported users.
    AdminUsersImported,
}

impl EventKind {
    /// All kinds, in the order of docs/audit.md.
    pub const ALL: [Self; 34] = [
        Self::SignUp,
        Self::Login,
        Self::LoginFailed,
        Self::Throttled,
        Self::PasswordFailures,
        Self::RefreshTokenReused,
        Self::RefreshTokenTheft,
        Self::SessionStoreRollback,
        Self::Logout,
        Self::LogoutRepeated,
        Self::LogoutEverywhere,
        Self::SessionEnded,
        Self::SessionsDisplaced,
        Self::PasswordChanged,
        Self::PasswordConfirmationFailed,
        Self::ProfileChanged,
        Self::ProfileExported,
        Self::AccountDeleted,
        Self::KeysChanged,
        Self::ServerStarted,
        Self::Reauthenticated,
        Self::AdminUserCreated,
        Self::AdminUserChanged,
        Self::AdminUserRenamed,
        Self::AdminPasswordSet,
        Self::AdminPasswordDisabled,
        Self::AdminUserDeactivated,
        Self::AdminUserActivated,
        Self::AdminUserDeleted,
        Self::AdminSessionEnded,
        Self::AdminSessionsEnded,
        Self::AdminAllSessionsEnded,
        Self::AdminUsersExported,
        Self::AdminUsersImported,
    ];

    /// Returns the stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SignUp => "sign_up",
            Self::Login => "login",
            Self::LoginFailed => "login_failed",
            Self::Throttled => "throttled",
            Self::PasswordFailures => "password_failures",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::RefreshTokenTheft => "refresh_token_theft",
            Self::SessionStoreRollback => "session_store_rollback",
            Self::Logout => "logout",
            Self::LogoutRepeated => "logout_repeated",
            Self::LogoutEverywhere => "logout_everywhere",
            Self::SessionEnded => "session_ended",
            Self::SessionsDisplaced => "sessions_displaced",
            Self::PasswordChanged => "password_changed",
            Self::PasswordConfirmationFailed => "password_confirmation_failed",
            Self::ProfileChanged => "profile_changed",
            Self::ProfileExported => "profile_exported",
            Self::AccountDeleted => "account_deleted",
            Self::KeysChanged => "keys_changed",
            Self::ServerStarted => "server_started",
            Self::Reauthenticated => "reauthenticated",
            Self::AdminUserCreated => "admin_user_created",
            Self::AdminUserChanged => "admin_user_changed",
            Self::AdminUserRenamed => "admin_user_renamed",
            Self::AdminPasswordSet => "admin_password_set",
            Self::AdminPasswordDisabled => "admin_password_disabled",
            Self::AdminUserDeactivated => "admin_user_deactivated",
            Self::AdminUserActivated => "admin_user_activated",
            Self::AdminUserDeleted => "admin_user_deleted",
            Self::AdminSessionEnded => "admin_session_ended",
            Self::AdminSessionsEnded => "admin_sessions_ended",
            Self::AdminAllSessionsEnded => "admin_all_sessions_ended",
            Self::AdminUsersExported => "admin_users_exported",
            Self::AdminUsersImported => "admin_users_imported",
        }
    }

    /// Returns whether the log line is a warning, because an operator should investigate.
    #[must_use]
    pub fn is_warning(self) -> bool {
        matches!(self, Self::PasswordFailures | Self::RefreshTokenTheft | Self::SessionStoreRollback)
    }

    /// Returns whether one client can repeat the event as fast as it sends requests, because it costs no password hash.
    pub(crate) fn is_free_to_cause(self) -> bool {
        matches!(self, Self::Throttled | Self::RefreshTokenReused | Self::LogoutRepeated | Self::ProfileChanged)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for EventKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|kind| kind.name() == name);
        named.ok_or_else(|| format!("expected one of: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// The account and the session that an event is about. It never contains an email: the id identifies the account, and an
/// unknown email is not stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditSubject {
    /// The user, if any.
    pub user: Option<UserId>,
    /// The session, if the event is about one.
    pub session: Option<SessionId>,
    /// More about the event. It contains no text of a client.
    pub detail: Option<String>,
}

impl AuditSubject {
    /// Adds a detail.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

impl From<Option<UserId>> for AuditSubject {
    fn from(user: Option<UserId>) -> Self {
        Self { user, ..Self::default() }
    }
}

impl From<&User> for AuditSubject {
    fn from(user: &User) -> Self {
        Self::from(Some(user.id))
    }
}

impl From<(UserId, SessionId)> for AuditSubject {
    fn from((user, session): (UserId, SessionId)) -> Self {
        Self { user: Some(user), session: Some(session), detail: None }
    }
}

impl From<&LiveSession> for AuditSubject {
    fn from(session: &LiveSession) -> Self {
        Self::from((session.user, session.id))
    }
}

impl From<&RefreshedSession> for AuditSubject {
    fn from(session: &RefreshedSession) -> Self {
        Self::from((session.user, session.id))
    }
}

impl From<&Session> for AuditSubject {
    fn from(session: &Session) -> Self {
        Self::from((session.user, session.id))
    }
}

/// The client, command or server that caused an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditOrigin {
    /// The client's address, for a request.
    pub address: Option<IpAddr>,
    /// The client's user agent.
    pub user_agent: Option<DisplayText>,
    /// The id of the request, for a request.
    pub request_id: Option<String>,
    /// `server`, the user of the command line, or the administrator or the API key of a request to the admin API; `None` for
    /// any other request.
    pub actor: Option<String>,
}

impl AuditOrigin {
    /// Returns the origin of a request.
    #[must_use]
    pub fn request(client: &Client, request_id: &str) -> Self {
        let user_agent = Some(client.user_agent.clone()).filter(|agent| !agent.as_str().is_empty());
        Self { address: Some(client.address), user_agent, request_id: Some(request_id.to_owned()), actor: None }
    }

    /// Adds the administrator or the API key that caused the event.
    #[must_use]
    pub fn with_actor(self, actor: impl Into<String>) -> Self {
        Self { actor: Some(actor.into()), ..self }
    }

    /// Returns the origin of an event that the server itself causes.
    #[must_use]
    pub fn server() -> Self {
        Self { actor: Some("server".to_owned()), ..Self::default() }
    }

    /// Returns the origin of a command, by the user id in the operating system.
    #[must_use]
    pub fn command_line(user_id: u32) -> Self {
        Self { actor: Some(format!("command line, uid {user_id}")), ..Self::default() }
    }
}

/// A query for a page of events, newest first (by id, descending).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPageQuery {
    /// Only events about this user.
    pub user: Option<UserId>,
    /// Only events of this kind.
    pub kind: Option<EventKind>,
    /// Only events from this client address.
    pub address: Option<IpAddr>,
    /// Only events at this time or later.
    pub from: Option<OffsetDateTime>,
    /// Only events before this time.
    pub until: Option<OffsetDateTime>,
    /// Only events with a lower id: the cursor of the previous page.
    pub before: Option<EventId>,
    /// The maximum number of events: 1 to [`MAX_PAGE`](super::MAX_PAGE).
    pub limit: u32,
}

impl EventPageQuery {
    /// Returns the ids between which events match: from the first, which is part of the range, to the second, which is not.
    #[must_use]
    pub fn ids(&self) -> (EventId, EventId) {
        let first_at = |time| EventId::first_at(round_up(time, 1_000_000));
        let from = self.from.map_or(EventId(Uuid::nil()), first_at);
        let until = self.until.map_or(EventId(Uuid::max()), first_at);
        (from, self.before.map_or(until, |before| before.min(until)))
    }

    /// Returns whether the event is about the user, of the kind and from the address of the query.
    #[must_use]
    pub fn accepts(&self, event: &AuditEvent) -> bool {
        self.user.is_none_or(|user| event.subject.user == Some(user))
            && self.kind.is_none_or(|kind| event.kind == kind)
            && self.address.is_none_or(|address| event.origin.address == Some(address))
    }
}

/// A page of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// The events. There may be fewer than the query allows, and even none, although others follow: a page examines a limited
    /// number of index entries.
    pub events: Vec<AuditEvent>,
    /// The id below which the next page begins; `None` if no event follows.
    pub next: Option<EventId>,
}

#[cfg(test)]
mod tests;
