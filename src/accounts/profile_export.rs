//! Export of the user's own data.

use super::{
    authenticate::CurrentUser, call_context::CallContext, error::AccountError, reauthentication::ReauthAction,
    service::Accounts,
};
use crate::{
    model::{AuditEvent, AuditOrigin, EventId, EventKind, EventPageQuery, Session, User, UserId},
    passwords::Password,
    rate_limit::AttemptSubject,
    store::read_events,
};

/// What is kept of a user besides audit events.
#[derive(Debug)]
pub struct ProfileExport {
    /// The user, as read after the password was verified.
    pub user: User,
    /// The user's valid sessions, newest first.
    pub sessions: Vec<Session>,
}

/// An audit event as its user may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisclosedEvent(AuditEvent);

impl DisclosedEvent {
    /// Removes the origin and the detail of an event, unless the user demonstrably caused it: they may be about somebody
    /// else. No actor is disclosed.
    #[must_use]
    pub fn of(mut event: AuditEvent) -> Self {
        if !is_caused_by_owner(event.kind) {
            event.origin = AuditOrigin::default();
            event.subject.detail = None;
        }
        event.origin.actor = None;
        Self(event)
    }

    /// Returns the event without what is not disclosed.
    #[must_use]
    pub fn event(&self) -> &AuditEvent {
        &self.0
    }
}

/// Returns whether events of this kind prove that the user caused them: by the password, by a valid session or by its refresh
/// token.
fn is_caused_by_owner(kind: EventKind) -> bool {
    match kind {
        EventKind::SignUp
        | EventKind::Login
        | EventKind::RefreshTokenReused
        | EventKind::Logout
        | EventKind::LogoutEverywhere
        | EventKind::SessionEnded
        | EventKind::SessionsDisplaced
        | EventKind::PasswordChanged
        | EventKind::ProfileChanged
        | EventKind::ProfileExported
        | EventKind::Reauthenticated
        | EventKind::AccountDeleted => true,
        // Anybody can try a password or an email, a token that is no longer valid may have been stolen, and the others are
        // caused by the server or by an administrator.
        EventKind::LoginFailed
        | EventKind::Throttled
        | EventKind::PasswordFailures
        | EventKind::PasswordConfirmationFailed
        | EventKind::RefreshTokenTheft
        | EventKind::SessionStoreRollback
        | EventKind::LogoutRepeated
        | EventKind::KeysChanged
        | EventKind::ServerStarted
        | EventKind::AdminUserCreated
        | EventKind::AdminUserChanged
        | EventKind::AdminUserRenamed
        | EventKind::AdminPasswordSet
        | EventKind::AdminPasswordDisabled
        | EventKind::AdminUserDeactivated
        | EventKind::AdminUserActivated
        | EventKind::AdminUserDeleted
        | EventKind::AdminSessionEnded
        | EventKind::AdminSessionsEnded
        | EventKind::AdminAllSessionsEnded
        | EventKind::AdminUsersExported
        | EventKind::AdminUsersImported => false,
    }
}

impl Accounts {
    /// Verifies the user's password, and returns what is kept of the user besides audit events, for which
    /// [`Accounts::disclosed_events`] must follow.
    ///
    /// There is no deciding write: the user and the session are read again after the password was verified.
    ///
    /// # Errors
    /// Returns [`AccountError::WrongPassword`] if the password is wrong, [`AccountError::InvalidAccessToken`] if this session
    /// has ended meanwhile, [`AccountError::RateLimited`] if the limit of failed passwords or that of exports is exceeded,
    /// [`AccountError::Overloaded`] or [`AccountError::Store`].
    pub async fn export_profile(
        &self,
        current: &CurrentUser,
        password: &Password,
        call: &CallContext,
    ) -> Result<ProfileExport, AccountError> {
        let export = self.confirm_export(current, password, call);
        self.metrics.accounts.exports.counted(export, AccountError::label).await
    }

    async fn confirm_export(
        &self,
        current: &CurrentUser,
        password: &Password,
        call: &CallContext,
    ) -> Result<ProfileExport, AccountError> {
        let confirmed = self.reauthenticate(current, password, ReauthAction::None, call).await?;
        let current = CurrentUser { user: confirmed.former, session: current.session };
        let (user, session) = (current.user.id, current.session.id);
        // A logout removes the session and leaves the user as they are.
        let is_valid = self.sessions.touch(user, session, &call.time).await?.is_some();
        if !is_valid {
            return Err(AccountError::InvalidAccessToken);
        }
        let exports = self.reserve(AttemptSubject::Export(user, call.client.address), Some(user), call).await?;
        // An export counts before its data are read: a client could otherwise disconnect and repeat it without a limit.
        exports.keep();
        self.audit.record(EventKind::ProfileExported, &current, call);
        let sessions = self.list_sessions(&current, call).await?;
        Ok(ProfileExport { user: current.user, sessions })
    }

    /// Returns at most `limit` audit events about a user that are older than `before`, newest first.
    ///
    /// # Errors
    /// Returns [`AccountError::Store`] if the audit store fails.
    pub async fn disclosed_events(
        &self,
        user: UserId,
        before: Option<EventId>,
        limit: usize,
        call: &CallContext,
    ) -> Result<Vec<DisclosedEvent>, AccountError> {
        let query = EventPageQuery { user: Some(user), before, ..EventPageQuery::default() };
        let events = read_events(&*self.events, query, limit, &call.time).await?;
        Ok(events.into_iter().map(DisclosedEvent::of).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use time::OffsetDateTime;

    use super::*;
    use crate::model::{AuditSubject, Client, SessionId};

    fn event(kind: EventKind) -> AuditEvent {
        let at = OffsetDateTime::UNIX_EPOCH;
        let subject = AuditSubject::from((UserId::new(at), SessionId::random())).with_detail("a detail");
        let client = Client::new(Ipv4Addr::LOCALHOST.into(), "curl/8");
        let origin = AuditOrigin { actor: Some("an actor".to_owned()), ..AuditOrigin::request(&client, "a-request") };
        AuditEvent { id: EventId::first_at(at), at, kind, subject, origin }
    }

    #[test]
    fn event_of_the_user_keeps_all_but_its_actor() {
        let login = event(EventKind::Login);

        let disclosed = DisclosedEvent::of(login.clone());

        let origin = AuditOrigin { actor: None, ..login.origin.clone() };
        assert_eq!(disclosed.event(), &AuditEvent { origin, ..login });
    }

    #[test]
    fn event_of_somebody_else_keeps_kind_time_and_session() {
        for kind in [EventKind::LoginFailed, EventKind::RefreshTokenTheft, EventKind::AdminPasswordSet] {
            let disclosed = DisclosedEvent::of(event(kind));

            assert_eq!(disclosed.event().origin, AuditOrigin::default(), "{kind}");
            assert_eq!(disclosed.event().subject.detail, None, "{kind}");
            assert!(disclosed.event().subject.session.is_some(), "{kind}");
        }
    }

    #[test]
    fn no_event_of_an_administrator_is_disclosed_in_full() {
        let of_administrators = EventKind::ALL.into_iter().filter(|kind| kind.name().starts_with("admin_"));

        assert_eq!(of_administrators.filter(|kind| is_caused_by_owner(*kind)).collect::<Vec<_>>(), []);
    }
}
