//! What a handler gets beside its caller and its input.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;

use super::readiness::Readiness;
use crate::{
    accounts::{Accounts, CallContext, SessionOutagePolicy},
    api_keys::{ApiClientName, ApiClients},
};

/// How long a request may take.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// From its head to its answer.
    pub request: Duration,
    /// For its store calls together; waiting for a hash is not counted.
    pub store: Duration,
}

/// What a handler has beside its caller and its input.
pub struct Context {
    /// What can be done.
    pub accounts: Arc<Accounts>,
    /// Whether traffic may come.
    pub readiness: Arc<Readiness>,
    /// What other services are told.
    pub token_check: Arc<TokenCheckConfig>,
    /// Which operator has been admitted: for the log.
    pub api_client: Arc<OnceLock<ApiClientName>>,
    /// Who asks, and how much time there is for the stores.
    pub call: CallContext,
    /// When the request must have been answered.
    pub deadline: Instant,
    /// What its path has in place of the pattern's parameter, as it was sent.
    pub parameter: Option<String>,
}

/// To whom other services are vouched for, and when.
#[derive(Debug)]
pub struct TokenCheckConfig {
    /// Who may introspect tokens.
    pub api_clients: ApiClients,
    /// What `/verify/` answers while the session store cannot be reached.
    pub session_outage_policy: SessionOutagePolicy,
}
