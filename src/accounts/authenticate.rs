//! Whose request this is: from an access token to the user whose session is in force.

use super::{call_context::CallContext, error::AccountError, service::Accounts};
use crate::{
    model::{AuditSubject, Session, User},
    store::StoreError,
    tokens::{AccessTokenError, Claims, RefreshClaims},
};

/// A user whose session is in force, as of this request.
#[derive(Debug, Clone)]
pub struct CurrentUser {
    /// The user.
    pub user: User,
    /// The session that the access token speaks for.
    pub session: Session,
}

impl From<&CurrentUser> for AuditSubject {
    fn from(current: &CurrentUser) -> Self {
        Self::from(&current.session)
    }
}

impl Accounts {
    /// The user that an access token speaks for. Both stores are asked side by side.
    ///
    /// # Errors
    /// [`AccountError::InvalidAccessToken`] and [`AccountError::AccessTokenExpired`]; [`AccountError::Store`] where a store that would
    /// have to agree cannot be reached, and the other does not refuse.
    pub async fn authenticate(&self, access_token: &str, call: &CallContext) -> Result<CurrentUser, AccountError> {
        let claims = self.claims(access_token).await?;
        let (user, session) = self.user_and_session(&claims, call).await?;
        Ok(CurrentUser { user, session: session? })
    }

    /// Returns the claims of an access token that is authentic and has not expired.
    pub(super) async fn claims(&self, access_token: &str) -> Result<Claims, AccountError> {
        let verified = self.access_tokens.verify(access_token, self.clock.now()).await;
        self.notice_verified(verified).map_err(|error| match error {
            AccessTokenError::Invalid => AccountError::InvalidAccessToken,
            AccessTokenError::Expired => AccountError::AccessTokenExpired,
        })
    }

    /// Returns the claims of a refresh token that is authentic.
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

    /// The user that claims speak for, and their session: it is in force, or it is not known, because the session store
    /// could not tell.
    pub(super) async fn user_and_session(
        &self,
        claims: &Claims,
        call: &CallContext,
    ) -> Result<(User, Result<Session, StoreError>), AccountError> {
        let (user, session) = tokio::join!(
            self.users.by_id(claims.subject, &call.time),
            self.sessions.touch(claims.subject, claims.session, &call.time),
        );
        // One store's definite no is enough, even where the other one cannot be reached.
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
