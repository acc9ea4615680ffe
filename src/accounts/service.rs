//! The account service and its shared steps.

use std::{fmt, sync::Arc, time::Duration};

use super::{call_context::CallContext, error::AccountError};
use crate::{
    audit::Trail,
    clock::Clock,
    metrics::Metrics,
    model::{AuditSubject, Email, EventKind, Name, NewSession, Session, SessionId, User},
    passwords::{AcceptedPassword, Hasher, Password, Policy, PolicyViolation},
    rate_limit::LoginLimiter,
    store::{SessionStore, StoreError, UserStore},
    tokens::{AccessTokens, RefreshClaims, RefreshTokens},
};

/// Everything that can be done with accounts, and what it takes.
pub struct Accounts {
    /// Where users are kept.
    pub users: Arc<dyn UserStore>,
    /// Where sessions are kept.
    pub sessions: Arc<dyn SessionStore>,
    /// Hashes and judges passwords.
    pub hasher: Hasher,
    /// What new passwords must be like.
    pub policy: Policy,
    /// Issues and verifies access tokens.
    pub access_tokens: AccessTokens,
    /// Issues and verifies refresh tokens.
    pub refresh_tokens: RefreshTokens,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// How long tokens, sessions and copies of the published keys live.
    pub lifetimes: Lifetimes,
    /// How many sessions a user may have at once: the oldest ones end.
    pub max_sessions: u32,
    /// Limits attempts that fail; `None` where nothing is limited.
    pub limiter: Option<LoginLimiter>,
    /// Whether a refresh replaces the refresh token.
    pub rotation_enabled: bool,
    /// Counts what happens.
    pub metrics: Arc<Metrics>,
    /// Records what somebody may have to answer for.
    pub audit: Trail,
}

/// How long tokens, sessions and copies of the published keys live.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// How long an access token is accepted: the longest that a service which checks tokens by itself goes on trusting
    /// a session that has ended (RFC 9700, section 2.2.1).
    pub access: Duration,
    /// From the opening of a session to its absolute end.
    pub session: Duration,
    /// How long a session may go unused before it ends; `None` where it may for its whole life.
    pub idle: Option<Duration>,
    /// How long caches may keep the published keys (default 5 min, 1 s to 24 h, counted in whole seconds).
    pub published_keys: Duration,
}

/// What a login or a sign-up hands out.
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tokens(..)")
    }
}

impl Accounts {
    /// Judges a password that shall be set, beside as much of its owner as is known.
    ///
    /// # Errors
    /// Where the hashing queue is too long. The policy's objections are a value.
    pub async fn validate_password(
        &self,
        password: Password,
        name: Option<&Name>,
        email: Option<&Email>,
    ) -> Result<Result<AcceptedPassword, Vec<PolicyViolation>>, AccountError> {
        Ok(self.hasher.validate(self.policy, password, name.cloned(), email.cloned()).await?)
    }

    /// Opens a session in an epoch: the deciding write of a login.
    pub(super) async fn open_session(&self, user: &User, call: &CallContext) -> Result<Session, StoreError> {
        let session = NewSession {
            id: SessionId::random(),
            user: user.id,
            epoch: user.epoch,
            next_key: self.refresh_tokens.active_key(),
            lifetime: self.lifetimes.session,
            idle: self.lifetimes.idle,
            max_sessions: self.max_sessions,
            surviving_session: user.surviving_session,
            client: call.client.clone(),
        };
        let opened = self.sessions.open(&session, &call.time).await?;
        self.metrics.accounts.ended_as_too_many.inc_by(opened.ended);
        if opened.ended > 0 {
            let displaced = AuditSubject::from(user).with_detail(format!("sessions ended: {}", opened.ended));
            self.audit.record(EventKind::SessionsDisplaced, displaced, call);
        }
        Ok(opened.session)
    }

    /// The tokens of a session that has just been opened.
    pub(super) fn first_tokens(&self, session: &Session) -> Tokens {
        Tokens { access: self.access_token(session), refresh: self.next_token(session) }
    }

    /// The refresh token that a session has handed out last.
    pub(super) fn next_token(&self, session: &Session) -> String {
        let claims = RefreshClaims { user: session.user, session: session.id, counter: session.next };
        self.refresh_tokens.issue(claims, session.next_key)
    }

    /// An access token for a session, accepted no longer than the session lasts.
    pub(super) fn access_token(&self, session: &Session) -> String {
        let now = self.clock.now();
        let expires = session.expires.min(now + self.lifetimes.access);
        self.access_tokens.issue(session.user, session.id, now, expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_cannot_be_printed() {
        let tokens = Tokens { access: "v4.public.x".to_owned(), refresh: "AQ".to_owned() };

        assert_eq!(format!("{tokens:?}"), "Tokens(..)");
    }
}
