//! The callers of the admin API: administrators, and API clients with a scope.

use hyper::HeaderMap;
use time::OffsetDateTime;

use super::{
    auth::{Authenticator, bearer_token},
    context::Context,
    error::ApiError,
};
use crate::{
    accounts::{AdminCall, CurrentUser},
    api_keys::{AuthorizedClient, Scope},
    model::{AdminReach, AuditOrigin, Role},
    rate_limit,
};

/// Accepts the callers that may read: an administrator who was authenticated recently, or an API key with
/// [`Scope::AdminRead`].
#[derive(Clone, Copy)]
pub struct AdminReader;

/// Accepts the callers that may write: an administrator who was authenticated recently, or an API key with [`Scope::Admin`].
#[derive(Clone, Copy)]
pub struct AdminWriter;

/// The caller of a route of the admin API.
#[derive(Debug, Clone)]
pub enum AdminCaller {
    /// An administrator, as of this request.
    Administrator {
        /// The user and the session.
        current: CurrentUser,
        /// Until when the last authentication with the password is recent enough, unless the session ends before.
        authenticated_until: OffsetDateTime,
    },
    /// An API client.
    ApiClient(AuthorizedClient),
}

impl AdminCaller {
    /// Returns the actor of the caller's audit events.
    #[must_use]
    pub fn actor(&self) -> String {
        match self {
            Self::Administrator { current, .. } => format!("user {}", current.user.id),
            Self::ApiClient(client) => format!("API key {}", client.name.as_str()),
        }
    }

    /// Returns which users the caller may create and change, if the route permits it to write.
    #[must_use]
    pub fn reach(&self) -> AdminReach {
        match self {
            Self::Administrator { .. } => AdminReach::AllUsers,
            Self::ApiClient(_) => AdminReach::MembersOnly,
        }
    }
}

impl Authenticator for AdminReader {
    type Caller = AdminCaller;

    async fn authenticate(self, context: &Context, headers: &HeaderMap) -> Result<AdminCaller, ApiError> {
        authenticate(Scope::AdminRead, context, headers).await
    }
}

impl Authenticator for AdminWriter {
    type Caller = AdminCaller;

    async fn authenticate(self, context: &Context, headers: &HeaderMap) -> Result<AdminCaller, ApiError> {
        authenticate(Scope::Admin, context, headers).await
    }
}

/// Authenticates the caller. A text that is no API key counts as an access token: its error is that of an access token.
async fn authenticate(scope: Scope, context: &Context, headers: &HeaderMap) -> Result<AdminCaller, ApiError> {
    let token = bearer_token(headers)?;
    if let Some(client) = context.api_client(token).await {
        return if client.scopes.permit(scope) {
            Ok(AdminCaller::ApiClient(client))
        } else {
            Err(ApiError::InsufficientScope(scope))
        };
    }
    let current = context.accounts.authenticate(token, &context.call).await?;
    if current.user.role != Role::Administrator {
        return Err(ApiError::PermissionDenied);
    }
    // Cannot be set already: a request is authenticated once.
    let _ = context.state.administrator.set(current.user.id);
    let max_age = context.admin_access.max_authentication_age;
    let authenticated = current.session.authenticated;
    // The absolute difference: a time that a clock which was ahead has recorded must not prolong the authentication.
    if (context.accounts.clock.now() - authenticated).abs() > max_age {
        return Err(ApiError::ReauthenticationRequired(max_age));
    }
    let authenticated_until = authenticated + max_age;
    Ok(AdminCaller::Administrator { current, authenticated_until })
}

impl Context {
    /// Returns the context of the use cases that this caller calls.
    #[must_use]
    pub fn admin_call(&self, caller: &AdminCaller) -> AdminCall<'_> {
        AdminCall {
            origin: AuditOrigin::from(&self.call).with_actor(caller.actor()),
            reach: caller.reach(),
            permit: rate_limit::administrator_permit(self.call.client.address),
            time: &self.call.time,
        }
    }
}
