//! What other services are told: whom a request is from, and what a token is worth.

use std::str::FromStr;

use tracing::debug;

use super::{call_context::CallContext, error::AccountError, service::Accounts};
use crate::{
    model::{SessionId, User},
    store::StoreError,
    tokens::Claims,
};

/// What is answered for others while the session store cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionOutagePolicy {
    /// Nothing: whether the session is in force is not known.
    #[default]
    Refuse,
    /// Whom an access token speaks for that is authentic and has not expired, where the account is open. It may be of a
    /// session that has ended; for as long as an access token lives, as with services that check tokens by themselves.
    Accept,
}

impl FromStr for SessionOutagePolicy {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "refuse" => Ok(Self::Refuse),
            "accept" => Ok(Self::Accept),
            _ => Err("refuse or accept".to_owned()),
        }
    }
}

/// Whom an access token speaks for, as others are told.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The user.
    pub user: User,
    /// The session: in force, or not known to have ended ([`SessionOutagePolicy::Accept`]).
    pub session: SessionId,
    /// Whether nobody could say that the session is in force.
    pub is_degraded: bool,
}

impl Accounts {
    /// Whom an access token speaks for: the same as [`Accounts::authenticate`] finds, but for what `without_sessions` allows.
    ///
    /// # Errors
    /// Those of [`Accounts::authenticate`].
    pub async fn identify(
        &self,
        access_token: &str,
        session_outage_policy: SessionOutagePolicy,
        call: &CallContext,
    ) -> Result<Identity, AccountError> {
        let claims = self.claims(access_token).await?;
        let (user, session) = self.user_and_session(&claims, call).await?;
        let is_degraded = match session {
            Err(error @ StoreError::Unavailable { .. }) if session_outage_policy == SessionOutagePolicy::Accept => {
                self.metrics.accounts.identified_without_session.inc();
                debug!(%error, user = %user.id, "a token is accepted for what it says by itself");
                true
            }
            session => {
                session?;
                false
            }
        };
        Ok(Identity { user, session: claims.session, is_degraded })
    }

    /// What an access token says whose session is in force; `None` where any other text is presented.
    ///
    /// # Errors
    /// [`AccountError::Store`], as [`Accounts::authenticate`]: what is not known is not told.
    pub async fn introspect(&self, token: &str, call: &CallContext) -> Result<Option<Claims>, AccountError> {
        match self.claims_in_force(token, call).await {
            Ok(claims) => Ok(Some(claims)),
            Err(AccountError::InvalidAccessToken | AccountError::AccessTokenExpired) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    async fn claims_in_force(&self, token: &str, call: &CallContext) -> Result<Claims, AccountError> {
        let claims = self.claims(token).await?;
        let (_, session) = self.user_and_session(&claims, call).await?;
        session?;
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_without_sessions_is_one_of_two_words() {
        assert_eq!("accept".parse(), Ok(SessionOutagePolicy::Accept));
        assert_eq!("refuse".parse(), Ok(SessionOutagePolicy::Refuse));
        for text in ["", "Accept", "on", "true"] {
            assert!(text.parse::<SessionOutagePolicy>().is_err(), "{text}");
        }
    }
}
