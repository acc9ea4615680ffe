//! Refresh: new tokens for a valid session. Rows A, B, C and 1 to 6 refer to the table in docs/sessions.md.
//! `model/rotation.rs` has the rules.

use super::{call_context::CallContext, error::AccountError, service::Accounts};
use crate::{
    model::{AuditSubject, EventKind, RefreshOutcome, RefreshedSession, Rotation, User},
    store::{Refresh, RefreshAttempt},
};

/// The tokens that a refresh returns.
pub struct Refreshed {
    /// The new access token.
    pub access: String,
    /// The next refresh token; `None` if the presented one stays valid.
    pub refresh: Option<String>,
}

impl Accounts {
    /// Exchanges a refresh token for new tokens.
    ///
    /// Deciding write: the session store decides on the token and updates or ends the session in one step.
    ///
    /// # Errors
    /// Returns [`AccountError::InvalidRefreshToken`] if the token is not accepted, or [`AccountError::Store`].
    pub async fn refresh(&self, refresh_token: &str, call: &CallContext) -> Result<Refreshed, AccountError> {
        let refreshes = &self.metrics.accounts.refreshes;
        refreshes.counted(self.exchange_token(refresh_token, call), AccountError::label).await
    }

    async fn exchange_token(&self, refresh_token: &str, call: &CallContext) -> Result<Refreshed, AccountError> {
        // A: the token is not authentic.
        let claims = self.refresh_claims(refresh_token).await?;
        // B: the user is gone or inactive, or the session is not valid.
        let user = self.users.by_id(claims.user, &call.time).await?;
        let user = user.filter(User::is_active).ok_or(AccountError::InvalidRefreshToken)?;
        let attempt =
            RefreshAttempt { user, session: claims.session, counter: claims.counter, rotation: self.rotation() };
        let Refresh::Decided(outcome, session) = self.sessions.refresh(&attempt, &call.time).await? else {
            return Err(AccountError::InvalidRefreshToken);
        };
        self.record_outcome(outcome, &session, call);
        let access = || self.access_token(&session);
        match outcome {
            // C: without rotation, the token stays valid.
            RefreshOutcome::Kept => Ok(Refreshed { access: access(), refresh: None }),
            // 1, 2, 3 and 6: the next token.
            RefreshOutcome::Next | RefreshOutcome::Shared | RefreshOutcome::LostResponse | RefreshOutcome::Rollback => {
                Ok(Refreshed { access: access(), refresh: Some(self.next_token(&session)) })
            }
            // C: without rotation, the session continues. 4 and 5: reuse is detected, and the session has ended.
            RefreshOutcome::Outdated | RefreshOutcome::Superseded | RefreshOutcome::Reused => {
                Err(AccountError::InvalidRefreshToken)
            }
        }
    }

    fn rotation(&self) -> Rotation {
        if self.rotation_enabled { Rotation::On(self.refresh_tokens.active_key()) } else { Rotation::Off }
    }

    /// Counts the outcome, and records it in the audit trail if it is unusual.
    fn record_outcome(&self, outcome: RefreshOutcome, session: &RefreshedSession, call: &CallContext) {
        let metrics = &self.metrics.accounts;
        metrics.count_refresh_token(outcome.label());
        if outcome.is_reuse() {
            metrics.ended_by_reuse.inc();
        }
        let kind = match outcome {
            RefreshOutcome::Kept | RefreshOutcome::Outdated | RefreshOutcome::Next => return,
            RefreshOutcome::Shared | RefreshOutcome::LostResponse => EventKind::RefreshTokenReused,
            RefreshOutcome::Superseded | RefreshOutcome::Reused => EventKind::RefreshTokenTheft,
            RefreshOutcome::Rollback => EventKind::SessionStoreRollback,
        };
        self.audit.record(kind, AuditSubject::from(session).with_detail(outcome.label()), call);
    }
}
