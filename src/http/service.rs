//! The service of a listener: responds to a request in the order of the steps of [`Service::respond`].

use std::{
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
};

use futures_util::FutureExt as _;
use hyper::{
    Request,
    body::Incoming,
    header::{self, HeaderValue},
};
use tokio::time::{Instant, timeout_at};

use super::{
    admin_access::AdminAccess,
    client_ip::TrustedProxies,
    common_headers::{CommonHeaders, HSTS},
    context::{Context, RequestLimits, RequestState, TokenCheckConfig, UseCases},
    cors::CorsPolicy,
    error::ApiError,
    forwarding::{Forwarding, RequestClient},
    readiness::Readiness,
    request_id::RequestId,
    request_log::RequestLog,
    response::{self, Response},
    router::{RouteMatch, RoutePath, Router},
    routes::ADMIN_API,
};
use crate::{
    accounts::{CallContext, SessionOutagePolicy},
    api_keys::ApiClients,
    logging::RequestLines,
    metrics::{MemoryUse, OpenConnection, RouteMetrics},
    model::{Client, ClientNetwork},
    request_memory::{BudgetExceeded, Payer, RequestBudget},
    store::TimeBudget,
};

/// What a request is charged at least: the state of its stream in h2, its task with hyper's state, the futures of the service
/// and of the route, and its response. 6 to 7 KB are resident for a request of HTTP/2 whose body is incomplete.
const REQUEST_BYTES: u64 = 6 * 1024;

/// What each header of a request is charged besides its bytes: its place in the `HeaderMap` and two allocations.
const HEADER_BYTES: u64 = 192;

/// The admission of a request: its client has been charged.
pub struct Admission {
    client: RequestClient,
    state: Arc<RequestState>,
}

impl Admission {
    /// Returns the state of the request with its memory, which must be held until its response has been sent.
    #[must_use]
    pub fn state(&self) -> Arc<RequestState> {
        Arc::clone(&self.state)
    }
}

/// Responds to the requests of one listener.
pub struct Service {
    router: Router,
    /// In the order of [`Router::paths`].
    route_metrics: Vec<RouteMetrics>,
    /// The metrics of the requests that no path matches.
    unrouted_metrics: RouteMetrics,
    request_lines: RequestLines,
    use_cases: UseCases,
    admin_access: Arc<AdminAccess>,
    readiness: Arc<Readiness>,
    token_check: Arc<TokenCheckConfig>,
    forwarding: Forwarding,
    limits: RequestLimits,
    cors: CorsPolicy,
    hsts: Option<HeaderValue>,
    budget: Arc<RequestBudget>,
    has_reserve: bool,
}

impl Service {
    /// Returns a service without API clients, trusted proxies, CORS origins and HSTS, which logs all requests. Its `/verify/`
    /// rejects tokens if the session store is unavailable. Clients of every network may call its admin API, if it has one.
    #[must_use]
    pub fn new(router: Router, use_cases: UseCases, readiness: Arc<Readiness>, limits: RequestLimits) -> Self {
        let accounts = &use_cases.accounts;
        let budget = Arc::new(RequestBudget::unlimited(accounts.metrics.request_memory.clone()));
        let api_clients = ApiClients::empty(Arc::clone(&accounts.clock));
        let token_check = TokenCheckConfig { api_clients, session_outage_policy: SessionOutagePolicy::Refuse };
        let metrics = |route| accounts.metrics.http.route(route);
        Self {
            route_metrics: router.paths().iter().copied().map(metrics).collect(),
            unrouted_metrics: metrics("-"),
            request_lines: RequestLines::All,
            router,
            use_cases,
            admin_access: Arc::default(),
            readiness,
            token_check: Arc::new(token_check),
            forwarding: Forwarding::default(),
            limits,
            cors: CorsPolicy::default(),
            hsts: None,
            budget,
            has_reserve: false,
        }
    }

    /// Sets the budget of memory. By default there is none.
    #[must_use]
    pub fn with_budget(self, budget: Arc<RequestBudget>) -> Self {
        Self { budget, ..self }
    }

    /// Sets the requests that are logged.
    #[must_use]
    pub fn with_request_lines(self, request_lines: RequestLines) -> Self {
        Self { request_lines, ..self }
    }

    /// Lets connections and requests exceed the limit of memory, so that probes get a response. Only for a private listener.
    #[must_use]
    pub fn with_memory_reserve(self) -> Self {
        Self { has_reserve: true, ..self }
    }

    /// Sets the API clients, which may also call the admin API, and the policy of `/verify/`.
    #[must_use]
    pub fn with_token_check(self, token_check: Arc<TokenCheckConfig>) -> Self {
        Self { token_check, ..self }
    }

    /// Sets who may call the admin API.
    #[must_use]
    pub fn with_admin_access(self, admin_access: AdminAccess) -> Self {
        Self { admin_access: Arc::new(admin_access), ..self }
    }

    /// Sets the proxies whose `X-Forwarded-For` is trusted, and reports proxies that hide the addresses of clients.
    #[must_use]
    pub fn with_trusted_proxies(self, trusted_proxies: TrustedProxies) -> Self {
        let metrics = Arc::clone(&self.use_cases.accounts.metrics.http);
        Self { forwarding: Forwarding::new(trusted_proxies, metrics), ..self }
    }

    /// Sets the origins whose scripts may read responses, and the headers that they may send.
    #[must_use]
    pub fn with_cors(self, cors: CorsPolicy) -> Self {
        Self { cors, ..self }
    }

    /// Adds `Strict-Transport-Security` to every response. Only for a listener that serves TLS.
    #[must_use]
    pub fn with_hsts(self) -> Self {
        Self { hsts: Some(HSTS), ..self }
    }

    /// Returns the payer for the memory of an address.
    #[must_use]
    pub fn payer(&self, address: IpAddr) -> Payer {
        let network = ClientNetwork::from(address);
        if self.has_reserve {
            return Payer::Operations(network);
        }
        if self.forwarding.trusts(address) { Payer::TrustedProxy(network) } else { Payer::Client(network) }
    }

    /// Returns the budget of memory.
    #[must_use]
    pub fn budget(&self) -> &Arc<RequestBudget> {
        &self.budget
    }

    /// Charges the client for a request whose head has been parsed.
    ///
    /// # Errors
    /// Returns [`BudgetExceeded`] if the memory of requests is used up.
    pub fn admit(&self, request: &Request<Incoming>, peer: SocketAddr) -> Result<Admission, BudgetExceeded> {
        let client = self.forwarding.client(peer.ip(), request.headers());
        let bytes = REQUEST_BYTES + head_bytes(request);
        let memory = self.budget.charge(self.payer(client.address()), MemoryUse::Request, bytes)?;
        Ok(Admission {
            client,
            state: Arc::new(RequestState { memory, api_client: OnceLock::new(), administrator: OnceLock::new() }),
        })
    }

    /// Responds to a request. Always returns a response and counts the request, even if the handler panics or exceeds its
    /// deadline. Logs one event, unless the setting excludes such a request.
    pub async fn respond(&self, request: Request<Incoming>, admission: Admission) -> Response {
        let (path, route_match) = self.find(&request, &admission.client);
        let (mut log, headers) = self.start(&request, path);
        let state = admission.state();
        log.set_state(Arc::clone(&state));
        let context = self.context(&request, &log, admission);
        let deadline = context.deadline;
        let handled = AssertUnwindSafe(handle(route_match, context, request)).catch_unwind();
        let outcome = match timeout_at(deadline, handled).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => Err(ApiError::Internal),
            Err(_elapsed) => Err(ApiError::DeadlinePassed),
        };
        if matches!(outcome, Err(ApiError::MemoryExhausted)) {
            state.memory.shrink_to_rejection();
        }
        finish(log, headers, outcome)
    }

    /// Returns the route of a request. The admin API has no routes for clients outside its networks, nor for a client whose
    /// address may be that of a proxy: the proxy may be in the networks although the client is not.
    fn find(
        &self,
        request: &Request<Incoming>,
        client: &RequestClient,
    ) -> (Option<RoutePath>, Result<RouteMatch, ApiError>) {
        let (path, route_match) = self.router.find(request.method(), request.uri().path());
        let is_admin = path.is_some_and(|path| path.pattern.starts_with(ADMIN_API));
        let networks = self.admin_access.networks.as_ref().filter(|_| is_admin);
        if networks.is_some_and(|networks| client.may_be_proxy() || !networks.contain(client.address())) {
            return (None, Err(ApiError::NotFound));
        }
        (path, route_match)
    }

    /// Responds to a request whose head is invalid, without routing it.
    pub fn reject_malformed(&self, request: &Request<Incoming>) -> Response {
        self.reject(request, ApiError::BadRequest)
    }

    /// Responds to a request whose head is too large, without routing it.
    pub fn reject_too_large(&self, request: &Request<Incoming>) -> Response {
        self.reject(request, ApiError::HeadTooLarge)
    }

    /// Responds to a request that was not admitted, without routing it.
    pub fn reject_unadmitted(&self, request: &Request<Incoming>) -> Response {
        self.reject(request, ApiError::MemoryExhausted)
    }

    fn reject(&self, request: &Request<Incoming>, error: ApiError) -> Response {
        let (log, headers) = self.start(request, None);
        finish(log, headers, Err(error))
    }

    /// Counts a connection of this listener as open until the result is dropped.
    #[must_use]
    pub fn connection(&self) -> OpenConnection {
        self.use_cases.accounts.metrics.http.connection(self.router.listener())
    }

    fn start(&self, request: &Request<Incoming>, path: Option<RoutePath>) -> (RequestLog<'_>, CommonHeaders) {
        let id = RequestId::of(request.headers());
        let cors = self.cors.cors_request(request.method(), request.headers());
        let headers = CommonHeaders::new(request.method(), cors, self.hsts.clone());
        let route = path.map_or(&self.unrouted_metrics, |path| &self.route_metrics[path.index]);
        (RequestLog::start(id, request.method(), route, self.request_lines), headers)
    }

    fn context(&self, request: &Request<Incoming>, log: &RequestLog<'_>, admission: Admission) -> Context {
        let deadline = Instant::now() + self.limits.request;
        let user_agent = request.headers().get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        Context {
            accounts: Arc::clone(&self.use_cases.accounts),
            user_admin: Arc::clone(&self.use_cases.user_admin),
            admin_access: Arc::clone(&self.admin_access),
            readiness: Arc::clone(&self.readiness),
            token_check: Arc::clone(&self.token_check),
            call: CallContext {
                client: Client::new(admission.client.address(), &String::from_utf8_lossy(user_agent)),
                request_id: log.id().as_str().to_owned(),
                time: TimeBudget::new(self.limits.store).with_deadline(deadline),
            },
            client: admission.client,
            deadline,
            state: admission.state,
            path_parameters: Vec::new(),
        }
    }
}

fn finish(log: RequestLog<'_>, headers: CommonHeaders, outcome: Result<Response, ApiError>) -> Response {
    let id = log.id().to_header();
    headers.apply(log.finish(outcome), id)
}

/// Returns the memory of a request head, in bytes.
fn head_bytes<B>(request: &Request<B>) -> u64 {
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    let text = headers.sum::<usize>() + request.uri().path().len() + request.uri().query().map_or(0, str::len);
    let count = u64::try_from(request.headers().len()).unwrap_or(u64::MAX);
    u64::try_from(text).unwrap_or(u64::MAX).saturating_add(count.saturating_mul(HEADER_BYTES))
}

async fn handle(
    route_match: Result<RouteMatch, ApiError>,
    context: Context,
    request: Request<Incoming>,
) -> Result<Response, ApiError> {
    match route_match? {
        RouteMatch::Handler { handler, path_parameters } => {
            handler(Context { path_parameters, ..context }, request).await
        }
        RouteMatch::Options(allow) => Ok(response::options(&allow)),
    }
}
