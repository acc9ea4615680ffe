//! Logout.

use super::{Accounts, Refusal};
use crate::store::StoreTime;

impl Accounts {
    /// Ends the session of a refresh token, whichever of the session's tokens it is: holding one is the authority. A
    /// session that has ended before is no error. The session store alone is asked.
    ///
    /// # Errors
    /// [`Refusal::InvalidRefreshToken`], [`Refusal::Store`].
    pub async fn logout(&self, refresh_token: &str, time: &StoreTime) -> Result<(), Refusal> {
        let claims = self.refresh_tokens.verify(refresh_token).map_err(|_| Refusal::InvalidRefreshToken)?;
        let ended = self.sessions.end(claims.user, claims.session, time).await?;
        self.metrics.accounts.ended_by_logout.inc_by(ended);
        Ok(())
    }
}
