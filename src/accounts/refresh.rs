//! Refresh: new tokens for a session that is in force, by the table of the README.

use super::{call_context::Call, error::Refusal, service::Accounts};
use crate::{
    model::{EventKind, Presentation, Rotation, Session, Subject, User},
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
    /// [`Refusal::InvalidRefreshToken`], [`Refusal::Store`].
    pub async fn refresh(&self, refresh_token: &str, call: &Call) -> Result<Refreshed, Refusal> {
        let refreshes = &self.metrics.accounts.refreshes;
        refreshes.counted(self.exchange_token(refresh_token, call), Refusal::label).await
    }

    async fn exchange_token(&self, refresh_token: &str, call: &Call) -> Result<Refreshed, Refusal> {
        // A: not authentic. No store is asked.
        let claims = self.refresh_tokens.verify(refresh_token).await.map_err(|_| Refusal::InvalidRefreshToken)?;
        self.hasher.make_room();
        // B: the user is gone or inactive; or the session is not there, or not in force.
        let user = self.users.by_id(claims.user, &call.time).await?;
        let user = user.filter(User::is_active).ok_or(Refusal::InvalidRefreshToken)?;
        let attempt =
            RefreshAttempt { user, session: claims.session, counter: claims.counter, rotation: self.rotation() };
        let Refresh::Presented(presentation, session) = self.sessions.refresh(&attempt, &call.time).await? else {
            return Err(Refusal::InvalidRefreshToken);
        };
        self.tell(presentation, &session, call);
        let access = || self.access_token(&session);
        match presentation {
            // C: without rotation, the token stays good.
            Presentation::Kept => Ok(Refreshed { access: access(), refresh: None }),
            // 1, 2, 3 and 6: the successor, which is the same for all who share it.
            Presentation::Successor | Presentation::Shared | Presentation::LostResponse | Presentation::Rollback => {
                Ok(Refreshed { access: access(), refresh: Some(self.successor_token(&session)) })
            }
            // C: without rotation, the session goes on. 4 and 5: theft, and it has ended.
            Presentation::Outdated | Presentation::Replaced | Presentation::Retired => {
                Err(Refusal::InvalidRefreshToken)
            }
        }
    }

    fn rotation(&self) -> Rotation {
        if self.rotates { Rotation::On(self.refresh_tokens.active_key()) } else { Rotation::Off }
    }

    /// Counts and records what became of a token.
    fn tell(&self, presentation: Presentation, session: &Session, call: &Call) {
        let metrics = &self.metrics.accounts;
        metrics.presented(presentation.label());
        if presentation.is_theft() {
            metrics.ended_by_theft.inc();
        }
        let kind = match presentation {
            Presentation::Kept | Presentation::Outdated | Presentation::Successor => return,
            Presentation::Shared | Presentation::LostResponse => EventKind::RefreshTokenReused,
            Presentation::Replaced | Presentation::Retired => EventKind::RefreshTokenTheft,
            Presentation::Rollback => EventKind::SessionStoreRollback,
        };
        self.audit.record(kind, Subject::from(session).with_detail(presentation.label()), call);
    }
}
