//! The context of a request: the services and limits that handlers use.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;

use super::{forwarding::RequestClient, readiness::Readiness};
use crate::{
    accounts::{Accounts, CallContext, SessionOutagePolicy},
    api_keys::{ApiClientName, ApiClients},
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
    /// Whether this replica takes traffic.
    pub readiness: Arc<Readiness>,
    /// The settings of `/verify/` and `/introspect/`.
    pub token_check: Arc<TokenCheckConfig>,
    /// The client, the request id and the time budget of the store calls.
    pub call: CallContext,
    /// The client, to be checked if limits depend on its address.
    pub client: RequestClient,
    /// The time by which the response must be ready.
    pub deadline: Instant,
    /// What the request holds until its response has been sent.
    pub state: Arc<RequestState>,
    /// The value of the path parameter, as it was sent.
    pub path_parameter: Option<String>,
}

/// What a request holds until its response has been sent.
pub struct RequestState {
    /// Its memory.
    pub memory: MemoryShare,
    /// The API client that was authenticated, for the log.
    pub api_client: OnceLock<ApiClientName>,
}

/// Settings for the endpoints that check tokens for other services.
#[derive(Debug)]
pub struct TokenCheckConfig {
    /// The API clients that may introspect tokens.
    pub api_clients: ApiClients,
    /// The response of `/verify/` if the session store is unavailable.
    pub session_outage_policy: SessionOutagePolicy,
}
