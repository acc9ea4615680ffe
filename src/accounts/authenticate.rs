//! Whose request this is: from an access token to the user whose session is in force.

use super::{call_context::Call, error::Refusal, service::Accounts};
use crate::{
    model::{Session, Subject, User},
    store::StoreError,
    tokens::{AccessTokenError, Claims},
};

/// A user whose session is in force, as of this request.
#[derive(Debug, Clone)]
pub struct CurrentUser {
    /// The user.
    pub user: User,
    /// The session that the access token speaks for.
    pub session: Session,
}

impl From<&CurrentUser> for Subject {
    fn from(current: &CurrentUser) -> Self {
        Self::from(&current.session)
    }
}

impl Accounts {
    /// The user that an access token speaks for. Both stores are asked side by side.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`] and [`Refusal::AccessTokenExpired`]; [`Refusal::Store`] where a store that would
    /// have to agree cannot be reached, and the other does not refuse.
    pub async fn authenticate(&self, access_token: &str, call: &Call) -> Result<CurrentUser, Refusal> {
        let claims = self.claims(access_token).await?;
        let (user, session) = self.user_and_session(&claims, call).await?;
        Ok(CurrentUser { user, session: session? })
    }

    /// What an access token says that is authentic and has not expired.
    pub(super) async fn claims(&self, access_token: &str) -> Result<Claims, Refusal> {
        let verified = self.access_tokens.verify(access_token, self.clock.now()).await;
        verified.map_err(|error| match error {
            AccessTokenError::Invalid => Refusal::InvalidAccessToken,
            AccessTokenError::Expired => Refusal::AccessTokenExpired,
        })
    }

    /// The user that claims speak for, and their session: it is in force, or it is not known, because the session store
    /// could not tell.
    pub(super) async fn user_and_session(
        &self,
        claims: &Claims,
        call: &Call,
    ) -> Result<(User, Result<Session, StoreError>), Refusal> {
        self.hasher.make_room();
        let (user, session) = tokio::join!(
            self.users.by_id(claims.subject, &call.time),
            self.sessions.resume(claims.subject, claims.session, &call.time),
        );
        // One store's definite no is enough, even where the other one cannot be reached.
        let is_gone =
            matches!(&user, Ok(user) if !user.as_ref().is_some_and(User::is_active)) || matches!(&session, Ok(None));
        if is_gone {
            return Err(Refusal::InvalidAccessToken);
        }
        match (user?, session) {
            (Some(user), Ok(Some(session))) if user.keeps_in_force(session.id, session.epoch) => {
                Ok((user, Ok(session)))
            }
            (Some(user), Err(error)) => Ok((user, Err(error))),
            _ => Err(Refusal::InvalidAccessToken),
        }
    }
}
