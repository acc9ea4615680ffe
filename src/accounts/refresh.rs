//! Refresh: a new access token for a session that is in force.

use super::{Accounts, Refusal, User};
use crate::store::{Refresh, RefreshAttempt, StoreTime};

impl Accounts {
    /// A new access token for whoever has the session's refresh token. The session store's script decides.
    ///
    /// # Errors
    /// [`Refusal::InvalidRefreshToken`], [`Refusal::Store`].
    pub async fn refresh(&self, refresh_token: &str, time: &StoreTime) -> Result<String, Refusal> {
        let refreshes = &self.metrics.accounts.refreshes;
        refreshes.counted(self.new_access(refresh_token, time), Refusal::label).await
    }

    async fn new_access(&self, refresh_token: &str, time: &StoreTime) -> Result<String, Refusal> {
        let claims = self.refresh_tokens.verify(refresh_token).map_err(|_| Refusal::InvalidRefreshToken)?;
        let user = self.users.by_id(claims.user, time).await?;
        let user = user.filter(User::is_active).ok_or(Refusal::InvalidRefreshToken)?;
        let attempt = RefreshAttempt { user, session: claims.session, counter: claims.counter };
        match self.sessions.refresh(&attempt, time).await? {
            Refresh::Granted(session) => Ok(self.access_token(&session)),
            Refresh::NotInForce | Refresh::Replaced => Err(Refusal::InvalidRefreshToken),
        }
    }
}
