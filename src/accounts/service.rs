//! The account service, and the steps that several use cases share.

use std::{fmt, sync::Arc, time::Duration};

use tracing::debug;

use super::{call_context::CallContext, error::AccountError, imported_hashes::ImportedHashes};
use crate::{
    audit::Trail,
    clock::Clock,
    metrics::Metrics,
    model::{AuditSubject, Epoch, EventKind, NewSession, RefreshedSession, Session, SessionId, User},
    passwords::{AcceptedPassword, CandidatePassword, Hasher, Policy, WorkPermit},
    rate_limit::LoginLimiter,
    store::{AuditReader, SessionStore, StoreError, TimeBudget, UserStore},
    tokens::{AccessTokens, RefreshClaims, RefreshTokens},
};

/// The limit on removing a session that is not used.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The account service: its methods are the use cases.
pub struct Accounts {
    /// Stores users.
    pub users: Arc<dyn UserStore>,
    /// Stores sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Hashes, verifies and validates passwords.
    pub hasher: Arc<Hasher>,
    /// What unknown emails cost, and whether imported hashes are accepted.
    pub imported_hashes: ImportedHashes,
    /// The rules for new passwords.
    pub policy: Policy,
    /// Issues and verifies access tokens.
    pub access_tokens: AccessTokens,
    /// Issues and verifies refresh tokens.
    pub refresh_tokens: RefreshTokens,
    /// The clock for token times and the sign-up time. Session times are those of the store.
    pub clock: Arc<dyn Clock>,
    /// The lifetimes of tokens, sessions and cached keys.
    pub lifetimes: Lifetimes,
    /// How many sessions a user may have at once. A login beyond that ends the oldest one.
    pub max_sessions: u32,
    /// Limits failed logins and sign-ups.
    pub limiter: LoginLimiter,
    /// Whether each refresh returns a new refresh token.
    pub rotation_enabled: bool,
    /// Counts the outcomes of use cases.
    pub metrics: Arc<Metrics>,
    /// Records audit events.
    pub audit: Trail,
    /// Reads the audit events of a user.
    pub events: Arc<dyn AuditReader>,
}

/// The lifetimes of tokens, sessions and cached keys.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// How long an access token is accepted. A service that verifies tokens offline trusts an ended session for at most
    /// this time (RFC 9700, section 2.2.1).
    pub access: Duration,
    /// The time from login to the end of the session, which nothing extends.
    pub session: Duration,
    /// How long a session may be unused before it ends; `None` for no idle limit.
    pub idle: Option<Duration>,
    /// How long caches may keep the published keys (default 5 min, 1 s to 24 h, in whole seconds).
    pub published_keys: Duration,
}

/// The tokens that a login or a sign-up returns.
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
    /// Estimates the strength of a new password, and accepts it if there is no violation of the policy.
    ///
    /// # Errors
    /// Returns [`AccountError::PolicyViolations`] or [`AccountError::Overloaded`].
    pub(super) async fn accept_password(
        &self,
        candidate: CandidatePassword,
        permit: &WorkPermit,
    ) -> Result<AcceptedPassword, AccountError> {
        self.hasher.accept(permit, candidate).await?.map_err(AccountError::PolicyViolations)
    }

    /// Opens a session in the epoch of `user`, and ends the oldest sessions beyond `max_sessions`.
    pub(super) async fn open_session(&self, user: &User, call: &CallContext) -> Result<Session, StoreError> {
        self.open(self.new_session(user, call), user, call).await
    }

    /// Opens a session that becomes valid when `epoch` replaces the epoch of `user`, which ends all other sessions. Until
    /// then these are valid, so the limit leaves room for one more. No login that knows only the epoch of `user` ends it
    /// (see [`OTHER_EPOCH_GRACE`](crate::store::OTHER_EPOCH_GRACE)).
    pub(super) async fn open_session_ahead(
        &self,
        user: &User,
        epoch: Epoch,
        call: &CallContext,
    ) -> Result<Session, StoreError> {
        let max_sessions = self.max_sessions.saturating_add(1);
        self.open(NewSession { epoch, max_sessions, ..self.new_session(user, call) }, user, call).await
    }

    fn new_session(&self, user: &User, call: &CallContext) -> NewSession {
        NewSession {
            id: SessionId::random(),
            user: user.id,
            epoch: user.epoch,
            next_key: self.refresh_tokens.active_key(),
            lifetime: self.lifetimes.session,
            idle: self.lifetimes.idle,
            max_sessions: self.max_sessions,
            valid_epoch: user.epoch,
            surviving_session: user.surviving_session,
            client: call.client.clone(),
        }
    }

    async fn open(&self, session: NewSession, user: &User, call: &CallContext) -> Result<Session, StoreError> {
        let opened = self.sessions.open(&session, &call.time).await?;
        self.metrics.accounts.ended_by_session_limit.inc_by(opened.ended);
        if opened.ended > 0 {
            let subject = AuditSubject::from(user).with_detail(format!("sessions ended: {}", opened.ended));
            self.audit.record(EventKind::SessionsDisplaced, subject, call);
        }
        Ok(opened.session)
    }

    /// Removes a session whose tokens no client receives. A task does it with a time limit of its own, so that it takes place
    /// even if the request has no time left or ends. If the session cannot be removed, it expires.
    pub(super) async fn remove_unused_session(&self, session: &Session, call: &CallContext) {
        let (sessions, user, id) = (Arc::clone(&self.sessions), session.user, session.id);
        let removing = tokio::spawn(async move {
            let removed = sessions.end(user, id, &TimeBudget::new(REMOVAL_TIMEOUT)).await;
            if let Err(error) = removed {
                debug!(%error, %user, session = %id, "failed to remove an unused session");
            }
        });
        // If the time is used up, the task continues without the request.
        let _ = call.time.limit("session store", async { Ok(removing.await) }).await;
    }

    /// Returns the tokens of a new session.
    pub(super) fn first_tokens(&self, session: &Session) -> Tokens {
        let session = RefreshedSession::from(session);
        Tokens { access: self.access_token(&session), refresh: self.next_token(&session) }
    }

    /// Returns the next refresh token of a session.
    pub(super) fn next_token(&self, session: &RefreshedSession) -> String {
        let claims = RefreshClaims { user: session.user, session: session.id, counter: session.next };
        self.refresh_tokens.issue(claims, session.next_key)
    }

    /// Returns an access token that expires no later than the session.
    pub(super) fn access_token(&self, session: &RefreshedSession) -> String {
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
