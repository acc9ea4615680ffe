//! The context of a request: the services and limits that handlers use.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;

use super::{admin_access::AdminAccess, forwarding::RequestClient, readiness::Readiness};
use crate::{
    accounts::{Accounts, CallContext, SessionOutagePolicy, UserAdmin},
    api_keys::{ApiClientName, ApiClients, AuthorizedClient},
    model::UserId,
    request_memory::MemoryShare,
};

/// The time limits of a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// From the request head to the response.
    pub request: Duration,
    /// For all store calls together. Waiting for a hash is not counted.
    pub store: Duration,
}

/// The first argument of every handler; its caller and its input are the other two.
pub struct Context {
    /// The use cases.
    pub accounts: Arc<Accounts>,
    /// The use cases of administrators.
    pub user_admin: Arc<UserAdmin>,
    /// Who may call the admin API.
    pub admin_access: Arc<AdminAccess>,
    /// Whether this replica takes traffic.
    pub readiness: Arc<Readiness>,
    /// The settings of `/verify/` and `/introspect/`, with the API clients, which may also call the admin API.
    pub token_check: Arc<TokenCheckConfig>,
    /// The client, the request id and the time budget of the store calls.
    pub call: CallContext,
    /// The client, to be checked if limits depend on its address.
    pub client: RequestClient,
    /// The time by which the response must be ready.
    pub deadline: Instant,
    /// What the request holds until its response has been sent.
    pub state: Arc<RequestState>,
    /// The values of the parameters of the path, in their order, as they were sent.
    pub path_parameters: Vec<String>,
}

impl Context {
    /// Returns the API client that has this key, and adds its name to the request's line in the log.
    pub async fn api_client(&self, key: &str) -> Option<AuthorizedClient> {
        let client = self.token_check.api_clients.by_key(key).await?;
        // Cannot be set already: a request is authenticated once.
        let _ = self.state.api_client.set(client.name.clone());
        Some(client)
    }
}

/// The use cases.
#[derive(Clone)]
pub struct UseCases {
    /// Those of users.
    pub accounts: Arc<Accounts>,
    /// Those of administrators.
    pub user_admin: Arc<UserAdmin>,
}

/// What a request holds until its response has been sent.
pub struct RequestState {
    /// Its memory.
    pub memory: MemoryShare,
    /// The API client that was authenticated, for the log.
    pub api_client: OnceLock<ApiClientName>,
    /// The administrator who was authenticated, for the log.
    pub administrator: OnceLock<UserId>,
}

/// Settings for the endpoints that check tokens for other services, and the API clients, which may also call the admin API.
#[derive(Debug)]
pub struct TokenCheckConfig {
    /// The API clients.
    pub api_clients: ApiClients,
    /// The response of `/verify/` if the session store is unavailable.
    pub session_outage_policy: SessionOutagePolicy,
}
