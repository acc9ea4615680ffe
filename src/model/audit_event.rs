//! Events: what happened, to whom, and by whom.

use std::{fmt, net::IpAddr, str::FromStr};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    escape::{ControlEscape, escape_control},
    id::{SessionId, UserId},
    session::Session,
    user::User,
};
use crate::clock::unix_ms;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Never given twice, in the order of what one server does.
    pub id: EventId,
    /// When, to the millisecond.
    pub at: OffsetDateTime,
    /// What.
    pub kind: EventKind,
    /// To whom.
    pub subject: AuditSubject,
    /// By whom, and from where.
    pub origin: AuditOrigin,
}

/// Identifies an event: a UUIDv7 of its time (RFC 9562, section 5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId(pub Uuid);

impl EventId {
    /// The least id that an event of this time may have.
    #[must_use]
    pub fn first_at(time: OffsetDateTime) -> Self {
        let milliseconds = u64::try_from(unix_ms(time)).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(milliseconds, &[0; 10]).into_uuid())
    }
}

/// What happened. The names are for good: others search and alert by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// An account was made by whoever it is for, and a session opened.
    SignUp,
    /// A session was opened with email and password.
    Login,
    /// Nobody who may log in has this email and password.
    LoginFailed,
    /// A request was refused because there had been too many.
    Throttled,
    /// So many wrong passwords in a row that somebody should look.
    PasswordFailures,
    /// A refresh token was presented that had been exchanged already, as two tabs or a lost answer have it; it was good.
    RefreshTokenReused,
    /// A refresh token was presented that nobody but a thief can have kept, or been left with: its session has ended.
    RefreshTokenTheft,
    /// A refresh token was ahead of its session: the session store has lost writes.
    SessionStoreRollback,
    /// A session was ended by its refresh token.
    Logout,
    /// A session was to be ended by its refresh token, and had ended before.
    LogoutRepeated,
    /// Every session of a user was ended by the user.
    LogoutEverywhere,
    /// A session was picked out and ended by its user.
    SessionEnded,
    /// A user had too many sessions: the oldest ones ended.
    SessionsDisplaced,
    /// A user has changed the password; every other session has ended.
    PasswordChanged,
    /// Whoever is signed in as a user did not know the password.
    PasswordConfirmationFailed,
    /// A user has taken another name.
    ProfileChanged,
    /// A user has deleted the account.
    AccountDeleted,
    /// The keys that are in use are others than before.
    KeysChanged,
    /// A server has started, with these keys.
    ServerStarted,
    /// An administrator has made an account.
    AdminUserCreated,
    /// An administrator has given a user another name.
    AdminUserRenamed,
    /// An administrator has set a user's password; every session has ended.
    AdminPasswordSet,
    /// An administrator has closed an account; every session has ended.
    AdminUserDeactivated,
    /// An administrator has opened an account again.
    AdminUserActivated,
    /// An administrator has deleted an account.
    AdminUserDeleted,
    /// An administrator has ended every session of a user.
    AdminSessionsEnded,
    /// An administrator has ended every session of every user.
    AdminAllSessionsEnded,
}

impl EventKind {
    /// Every kind, in the order of the README.
    pub const ALL: [Self; 27] = [
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
        Self::AccountDeleted,
        Self::KeysChanged,
        Self::ServerStarted,
        Self::AdminUserCreated,
        Self::AdminUserRenamed,
        Self::AdminPasswordSet,
        Self::AdminUserDeactivated,
        Self::AdminUserActivated,
        Self::AdminUserDeleted,
        Self::AdminSessionsEnded,
        Self::AdminAllSessionsEnded,
    ];

    /// Its name.
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
            Self::AccountDeleted => "account_deleted",
            Self::KeysChanged => "keys_changed",
            Self::ServerStarted => "server_started",
            Self::AdminUserCreated => "admin_user_created",
            Self::AdminUserRenamed => "admin_user_renamed",
            Self::AdminPasswordSet => "admin_password_set",
            Self::AdminUserDeactivated => "admin_user_deactivated",
            Self::AdminUserActivated => "admin_user_activated",
            Self::AdminUserDeleted => "admin_user_deleted",
            Self::AdminSessionsEnded => "admin_sessions_ended",
            Self::AdminAllSessionsEnded => "admin_all_sessions_ended",
        }
    }

    /// Whether somebody should look: then the log's line is a warning.
    #[must_use]
    pub fn is_warning(self) -> bool {
        matches!(self, Self::PasswordFailures | Self::RefreshTokenTheft | Self::SessionStoreRollback)
    }

    /// Whether one client can cause it again and again, as fast as requests can be sent: that costs no password hash.
    #[must_use]
    pub fn is_free_to_cause(self) -> bool {
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
        named.ok_or_else(|| format!("one of: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// Whom or what an event is about. Never an email: an account is known by its id, and an email that nobody has is nobody's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditSubject {
    /// The user, where there is one.
    pub user: Option<UserId>,
    /// The session, where it is about one.
    pub session: Option<SessionId>,
    /// What else there is to tell, in a few words of ours.
    pub detail: Option<String>,
}

impl AuditSubject {
    /// The same, with what else there is to tell.
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

impl From<&Session> for AuditSubject {
    fn from(session: &Session) -> Self {
        Self { user: Some(session.user), session: Some(session.id), detail: None }
    }
}

/// Who caused an event, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditOrigin {
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The client's user agent, without the characters that could pass for more than a part of it.
    pub user_agent: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
    /// Who it was where it was no request: the server itself, or whoever has typed a command.
    pub actor: Option<String>,
}

impl AuditOrigin {
    /// A request. The user agent is whatever its sender has made up.
    #[must_use]
    pub fn request(address: IpAddr, user_agent: &str, request_id: &str) -> Self {
        let user_agent = Some(escape_control(user_agent, ControlEscape::Replacement)).filter(|agent| !agent.is_empty());
        Self { address: Some(address), user_agent, request_id: Some(request_id.to_owned()), actor: None }
    }

    /// The server itself.
    #[must_use]
    pub fn server() -> Self {
        Self { actor: Some("server".to_owned()), ..Self::default() }
    }

    /// Whoever has typed a command, by the number that the operating system knows them by.
    #[must_use]
    pub fn command_line(user_id: u32) -> Self {
        Self { actor: Some(format!("command line, uid {user_id}")), ..Self::default() }
    }
}

/// Which events are asked for, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only those about this user.
    pub user: Option<UserId>,
    /// Only those of this kind.
    pub kind: Option<EventKind>,
    /// Only those from this time on.
    pub since: Option<OffsetDateTime>,
    /// How many at most.
    pub limit: u32,
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_names_of_kinds_are_for_good() {
        insta::assert_snapshot!(EventKind::ALL.map(EventKind::name).join(" "), @"sign_up login login_failed throttled password_failures refresh_token_reused refresh_token_theft session_store_rollback logout logout_repeated logout_everywhere session_ended sessions_displaced password_changed password_confirmation_failed profile_changed account_deleted keys_changed server_started admin_user_created admin_user_renamed admin_password_set admin_user_deactivated admin_user_activated admin_user_deleted admin_sessions_ended admin_all_sessions_ended");
    }

    #[test]
    fn a_kind_is_read_by_its_name_and_every_kind_has_one_of_its_own() {
        for kind in EventKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("Login".parse::<EventKind>().expect_err("no kind").starts_with("one of: sign_up, login, "));
    }

    #[test]
    fn a_user_agent_is_one_line_of_text_whatever_was_sent() {
        let agent = "curl\n\u{1b}[31m\u{0}\u{85}\u{2028}\u{202e}x \"ë\" 👩";

        let origin = AuditOrigin::request(Ipv4Addr::LOCALHOST.into(), agent, "1");

        let expected = "curl\u{fffd}\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}\u{fffd}x \"ë\" 👩";
        assert_eq!(origin.user_agent.as_deref(), Some(expected));
        assert_eq!(AuditOrigin::request(Ipv4Addr::LOCALHOST.into(), "", "1").user_agent, None);
    }

    #[test]
    fn the_first_id_of_a_time_is_not_above_any_other_of_it() {
        let time = time::macros::datetime!(2027-01-15 12:00:00.123 UTC);

        let first = EventId::first_at(time);

        assert_eq!(first.0.get_version_num(), 7);
        let user = UserId::new(time);
        assert!(first.0 <= user.0, "{} {}", first.0, user.0);
        assert!(EventId::first_at(time + std::time::Duration::from_millis(1)).0 > user.0);
    }
}
