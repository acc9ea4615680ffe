//! Refresh: new tokens for a session that is in force, by the table of the README.

use super::{call_context::CallContext, error::AccountError, service::Accounts};
use crate::{
    model::{AuditSubject, EventKind, RefreshOutcome, Rotation, Session, User},
    store::{Refresh, RefreshAttempt},
};

/// What a refresh hands out.
pub struct Refreshed {
    /// A new access token.
    pub access: String,
    /// The refresh token that takes the place of the one that was presented; `None` where that one stays good.
    pub refresh: Option<String>,
}

impl Accounts {
    /// New tokens for whoever has the session's refresh token. The session store decides, in one step.
    ///
    /// # Errors
    /// [`AccountError::InvalidRefreshToken`], [`AccountError::Store`].
    pub async fn refresh(&self, refresh_token: &str, call: &CallContext) -> Result<Refreshed, AccountError> {
        let refreshes = &self.metrics.accounts.refreshes;
        refreshes.counted(self.exchange_token(refresh_token, call), AccountError::label).await
    }

    async fn exchange_token(&self, refresh_token: &str, call: &CallContext) -> Result<Refreshed, AccountError> {
        // A: not authentic. No store is asked.
        let claims = self.refresh_claims(refresh_token).await?;
        // B: the user is gone or inactive; or the session is not there, or not in force.
        let user = self.users.by_id(claims.user, &call.time).await?;
        let user = user.filter(User::is_active).ok_or(AccountError::InvalidRefreshToken)?;
        let attempt =
            RefreshAttempt { user, session: claims.session, counter: claims.counter, rotation: self.rotation() };
        let Refresh::Decided(presentation, session) = self.sessions.refresh(&attempt, &call.time).await? else {
            return Err(AccountError::InvalidRefreshToken);
        };
        self.record_outcome(presentation, &session, call);
        let access = || self.access_token(&session);
        match presentation {
            // C: without rotation, the token stays good.
            RefreshOutcome::Kept => Ok(Refreshed { access: access(), refresh: None }),
            // 1, 2, 3 and 6: the successor, which is the same for all who share it.
            RefreshOutcome::Next | RefreshOutcome::Shared | RefreshOutcome::LostResponse | RefreshOutcome::Rollback => {
                Ok(Refreshed { access: access(), refresh: Some(self.next_token(&session)) })
            }
            // C: without rotation, the session goes on. 4 and 5: theft, and it has ended.
            RefreshOutcome::Outdated | RefreshOutcome::Superseded | RefreshOutcome::Reused => {
                Err(AccountError::InvalidRefreshToken)
            }
        }
    }

    fn rotation(&self) -> Rotation {
        if self.rotation_enabled { Rotation::On(self.refresh_tokens.active_key()) } else { Rotation::Off }
    }

    /// Counts and records what became of a token.
    fn record_outcome(&self, presentation: RefreshOutcome, session: &Session, call: &CallContext) {
        let metrics = &self.metrics.accounts;
        metrics.presented(presentation.label());
        if presentation.is_reuse() {
            metrics.ended_by_theft.inc();
        }
        let kind = match presentation {
            RefreshOutcome::Kept | RefreshOutcome::Outdated | RefreshOutcome::Next => return,
            RefreshOutcome::Shared | RefreshOutcome::LostResponse => EventKind::RefreshTokenReused,
            RefreshOutcome::Superseded | RefreshOutcome::Reused => EventKind::RefreshTokenTheft,
            RefreshOutcome::Rollback => EventKind::SessionStoreRollback,
        };
        self.audit.record(kind, AuditSubject::from(session).with_detail(presentation.label()), call);
    }
}
