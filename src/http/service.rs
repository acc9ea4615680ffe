//! The service of a listener: responds to a request in the order of the steps of [`Service::respond`].

use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt as _;
use hyper::{
    Request,
    body::Incoming,
    header::{self, HeaderValue},
};
use tokio::time::{Instant, timeout_at};

use super::{
    client_ip::TrustedProxies,
    common_headers::{CommonHeaders, HSTS},
    context::{Context, RequestLimits, TokenCheckConfig},
    cors::Origins,
    error::ApiError,
    forwarding::Forwarding,
    readiness::Readiness,
    request_id::RequestId,
    request_log::RequestLog,
    response::{self, Response},
    router::{RouteMatch, Router},
};
use crate::{
    accounts::{Accounts, CallContext, SessionOutagePolicy},
    api_keys::ApiClients,
    metrics::OpenConnection,
    model::Client,
    store::TimeBudget,
};

/// Responds to the requests of one listener.
pub struct Service {
    router: Router,
    accounts: Arc<Accounts>,
    readiness: Arc<Readiness>,
    token_check: Arc<TokenCheckConfig>,
    forwarding: Forwarding,
    limits: RequestLimits,
    origins: Origins,
    hsts: Option<HeaderValue>,
}

impl Service {
    /// Returns a service without API clients, trusted proxies, CORS origins and HSTS. Its `/verify/` rejects tokens if the
    /// session store is unavailable.
    #[must_use]
    pub fn new(router: Router, accounts: Arc<Accounts>, readiness: Arc<Readiness>, limits: RequestLimits) -> Self {
        let api_clients = ApiClients::empty(Arc::clone(&accounts.clock));
        let token_check = TokenCheckConfig { api_clients, session_outage_policy: SessionOutagePolicy::Refuse };
        Self {
            router,
            accounts,
            readiness,
            token_check: Arc::new(token_check),
            forwarding: Forwarding::default(),
            limits,
            origins: Origins::default(),
            hsts: None,
        }
    }

    /// Sets the API clients and the policy of `/verify/`.
    #[must_use]
    pub fn with_token_check(self, token_check: Arc<TokenCheckConfig>) -> Self {
        Self { token_check, ..self }
    }

    /// Sets the proxies whose `X-Forwarded-For` is trusted, and reports proxies that hide the addresses of clients.
    #[must_use]
    pub fn with_trusted_proxies(self, trusted_proxies: TrustedProxies) -> Self {
        let metrics = Arc::clone(&self.accounts.metrics.http);
        Self { forwarding: Forwarding::new(trusted_proxies, metrics), ..self }
    }

    /// Sets the origins whose scripts may read responses.
    #[must_use]
    pub fn with_origins(self, origins: Origins) -> Self {
        Self { origins, ..self }
    }

    /// Adds `Strict-Transport-Security` to every response. Only for a listener that serves TLS.
    #[must_use]
    pub fn with_hsts(self) -> Self {
        Self { hsts: Some(HSTS), ..self }
    }

    /// Responds to a request. Always returns a response and logs one event, even if the handler panics or exceeds its
    /// deadline.
    pub async fn respond(&self, request: Request<Incoming>, peer: SocketAddr) -> Response {
        let (route, route_match) = self.router.find(request.method(), request.uri().path());
        let (log, headers) = self.start(&request, route);
        let context = self.context(&request, &log, peer);
        let deadline = context.deadline;
        let handled = AssertUnwindSafe(handle(route_match, context, request)).catch_unwind();
        let outcome = match timeout_at(deadline, handled).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => Err(ApiError::Internal),
            Err(_elapsed) => Err(ApiError::DeadlinePassed),
        };
        headers.apply(log.finish(outcome))
    }

    /// Responds to a request whose head is invalid, without routing it.
    pub fn reject(&self, request: &Request<Incoming>) -> Response {
        let (log, headers) = self.start(request, None);
        headers.apply(log.finish(Err(ApiError::BadRequest)))
    }

    /// Counts a connection of this listener as open until the result is dropped.
    #[must_use]
    pub fn connection(&self) -> OpenConnection {
        self.accounts.metrics.http.connection(self.router.listener())
    }

    fn start(&self, request: &Request<Incoming>, route: Option<&'static str>) -> (RequestLog, CommonHeaders) {
        let id = RequestId::of(request.headers());
        let cors = self.origins.cors_request(request.method(), request.headers());
        let headers = CommonHeaders::new(request.method(), &id, cors, self.hsts.clone());
        (RequestLog::start(id, request.method(), route, &self.accounts.metrics.http), headers)
    }

    fn context(&self, request: &Request<Incoming>, log: &RequestLog, peer: SocketAddr) -> Context {
        let deadline = Instant::now() + self.limits.request;
        let user_agent = request.headers().get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        let client = self.forwarding.client(peer.ip(), request.headers());
        Context {
            accounts: Arc::clone(&self.accounts),
            readiness: Arc::clone(&self.readiness),
            token_check: Arc::clone(&self.token_check),
            api_client: log.api_client(),
            call: CallContext {
                client: Client::new(client.address(), &String::from_utf8_lossy(user_agent)),
                request_id: log.id().as_str().to_owned(),
                time: TimeBudget::new(self.limits.store).with_deadline(deadline),
            },
            client,
            deadline,
            path_parameter: None,
        }
    }
}

async fn handle(
    route_match: Result<RouteMatch, ApiError>,
    context: Context,
    request: Request<Incoming>,
) -> Result<Response, ApiError> {
    match route_match? {
        RouteMatch::Handler { handler, path_parameter } => {
            handler(Context { path_parameter, ..context }, request).await
        }
        RouteMatch::Options(allow) => Ok(response::options(&allow)),
    }
}
