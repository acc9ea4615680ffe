//! Authentication: from an access token to the user of a valid session. It writes only the session's last use.

use std::sync::Arc;

use super::{call_context::CallContext, error::AccountError, service::Accounts};
use crate::{
    model::{AuditSubject, LiveSession, User},
    store::StoreError,
    tokens::{AccessTokenError, Claims, RefreshClaims},
};

/// A user with a valid session, as of this request.
#[derive(Debug, Clone)]
pub struct CurrentUser {
    /// The user.
    pub user: User,
    /// The session of the access token.
    pub session: LiveSession,
}

impl From<&CurrentUser> for AuditSubject {
    fn from(current: &CurrentUser) -> Self {
        Self::from(&current.session)
    }
}

impl Accounts {
    /// Returns the user and the session of an access token.
    ///
    /// # Errors
    /// Returns [`AccountError::InvalidAccessToken`] or [`AccountError::AccessTokenExpired`] if the token is not accepted,
    /// and [`AccountError::Store`] if a store is unavailable and the other one does not reject the token.
    pub async fn authenticate(&self, access_token: &str, call: &CallContext) -> Result<CurrentUser, AccountError> {
        let claims = self.claims(access_token).await?;
        let (user, session) = self.user_and_session(&claims, call).await?;
        Ok(CurrentUser { user, session: session? })
    }

    /// Returns the claims of an access token that is authentic and has not expired.
    pub(super) async fn claims(&self, access_token: &str) -> Result<Arc<Claims>, AccountError> {
        let verified = self.access_tokens.verify(access_token, self.clock.now()).await;
        self.notice_verified(verified).map_err(|error| match error {
            AccessTokenError::Invalid => AccountError::InvalidAccessToken,
            AccessTokenError::Expired => AccountError::AccessTokenExpired,
        })
    }

    /// Returns the claims of an authentic refresh token.
    pub(super) async fn refresh_claims(&self, refresh_token: &str) -> Result<RefreshClaims, AccountError> {
        let verified = self.refresh_tokens.verify(refresh_token).await;
        self.notice_verified(verified).map_err(|_| AccountError::InvalidRefreshToken)
    }

    /// Makes a hashing thread yield to the request if its token was verified. A forged token must not slow down logins.
    fn notice_verified<C, E>(&self, verified: Result<C, E>) -> Result<C, E> {
        if verified.is_ok() {
            self.hasher.notice_request();
        }
        verified
    }

    /// Returns the user of `claims`, and their session if it is valid, or the error of the session store.
    pub(super) async fn user_and_session(
        &self,
        claims: &Claims,
        call: &CallContext,
    ) -> Result<(User, Result<LiveSession, StoreError>), AccountError> {
        let (user, session) = tokio::join!(
            self.users.by_id(claims.subject, &call.time),
            self.sessions.touch(claims.subject, claims.session, &call.time),
        );
        // One store that rejects the claims is enough, even if the other one is unavailable.
        let is_gone =
            matches!(&user, Ok(user) if !user.as_ref().is_some_and(User::is_active)) || matches!(&session, Ok(None));
        if is_gone {
            return Err(AccountError::InvalidAccessToken);
        }
        match (user?, session) {
            (Some(user), Ok(Some(session))) if user.is_session_valid(session.id, session.epoch) => {
                Ok((user, Ok(session)))
            }
            (Some(user), Err(error)) => Ok((user, Err(error))),
            _ => Err(AccountError::InvalidAccessToken),
        }
    }
}
