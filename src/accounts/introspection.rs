//! Forward authentication and token introspection, for other services.

use std::{str::FromStr, sync::Arc};

use tracing::debug;

use super::{call_context::CallContext, error::AccountError, service::Accounts};
use crate::{
    model::{SessionId, User},
    store::StoreError,
    tokens::Claims,
};

/// How forward authentication responds while the session store is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionOutagePolicy {
    /// It fails, because the session may have ended.
    #[default]
    Refuse,
    /// It accepts an authentic access token of an active user until the token expires, as offline verification does. Its
    /// session may have ended.
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

/// The user of an access token, as other services see them.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The user.
    pub user: User,
    /// The session. If `is_degraded`, it may have ended.
    pub session: SessionId,
    /// Whether the session store was unavailable ([`SessionOutagePolicy::Accept`]).
    pub is_degraded: bool,
}

impl Accounts {
    /// Returns the user of an access token, as [`Accounts::authenticate`] does, except during an outage of the session
    /// store, when `outage_policy` decides.
    ///
    /// # Errors
    /// Returns the errors of [`Accounts::authenticate`].
    pub async fn identify(
        &self,
        access_token: &str,
        outage_policy: SessionOutagePolicy,
        call: &CallContext,
    ) -> Result<Identity, AccountError> {
        let claims = self.claims(access_token).await?;
        let (user, session) = self.user_and_session(&claims, call).await?;
        let is_degraded = match session {
            Err(error @ (StoreError::Unavailable { .. } | StoreError::Misconfigured { .. }))
                if outage_policy == SessionOutagePolicy::Accept =>
            {
                self.metrics.accounts.identified_without_session.inc();
                debug!(%error, user = %user.id, "session store unavailable; accepting an access token without it");
                true
            }
            session => {
                session?;
                false
            }
        };
        Ok(Identity { user, session: claims.session, is_degraded })
    }

    /// Returns the claims of an access token with a valid session; `None` for any other text.
    ///
    /// # Errors
    /// Returns [`AccountError::Store`] if a store is unavailable and the other one does not reject the token.
    pub async fn introspect(&self, token: &str, call: &CallContext) -> Result<Option<Arc<Claims>>, AccountError> {
        match self.valid_claims(token, call).await {
            Ok(claims) => Ok(Some(claims)),
            Err(AccountError::InvalidAccessToken | AccountError::AccessTokenExpired) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn valid_claims(&self, token: &str, call: &CallContext) -> Result<Arc<Claims>, AccountError> {
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
    fn session_outage_policy_is_accept_or_refuse() {
        assert_eq!("accept".parse(), Ok(SessionOutagePolicy::Accept));
        assert_eq!("refuse".parse(), Ok(SessionOutagePolicy::Refuse));
        for text in ["", "Accept", "on", "true"] {
            assert!(text.parse::<SessionOutagePolicy>().is_err(), "{text}");
        }
    }
}
