//! Answers a request, in the order of the lines of [`Service::answer`].

use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt as _;
use hyper::{
    HeaderMap, Request,
    body::Incoming,
    header::{self, HeaderValue},
};
use tokio::time::{Instant, timeout_at};

use super::{
    client_ip::TrustedProxies,
    context::{Context, RequestLimits, TokenCheckConfig},
    cors::Origins,
    error::{ApiError, HeadError},
    readiness::Readiness,
    request_log::{REQUEST_ID, RequestLog, TRANSPORT_SECURITY, is_request_id, known, new_request_id},
    response::Response,
    router::{RouteMatch, Router},
};
use crate::{
    accounts::{Accounts, CallContext, SessionOutagePolicy},
    api_keys::ApiClients,
    http::response,
    metrics::OpenConnection,
    model::Client,
    store::TimeBudget,
};

/// Answers the requests of one listener.
pub struct Service {
    router: Router,
    accounts: Arc<Accounts>,
    readiness: Arc<Readiness>,
    token_check: Arc<TokenCheckConfig>,
    trusted_proxies: TrustedProxies,
    limits: RequestLimits,
    origins: Origins,
    transport_security: Option<HeaderValue>,
}

impl Service {
    /// A service of these routes that has no operator and no proxy, and vouches for nobody whose session is not known.
    #[must_use]
    pub fn new(router: Router, accounts: Arc<Accounts>, readiness: Arc<Readiness>, limits: RequestLimits) -> Self {
        let api_clients = ApiClients::nobody(Arc::clone(&accounts.clock));
        let token_check =
            Arc::new(TokenCheckConfig { api_clients, session_outage_policy: SessionOutagePolicy::Refuse });
        Self {
            router,
            accounts,
            readiness,
            token_check,
            trusted_proxies: TrustedProxies::default(),
            limits,
            origins: Origins::default(),
            transport_security: None,
        }
    }

    /// The same, with what other services are told.
    #[must_use]
    pub fn with_token_check(self, token_check: Arc<TokenCheckConfig>) -> Self {
        Self { token_check, ..self }
    }

    /// The same, behind proxies whose `X-Forwarded-For` is believed.
    #[must_use]
    pub fn with_trusted_proxies(self, trusted_proxies: TrustedProxies) -> Self {
        Self { trusted_proxies, ..self }
    }

    /// The same, for scripts of these origins as well.
    #[must_use]
    pub fn with_origins(self, origins: Origins) -> Self {
        Self { origins, ..self }
    }

    /// The same, where it is reached by TLS alone.
    #[must_use]
    pub fn with_hsts(self) -> Self {
        Self { transport_security: Some(TRANSPORT_SECURITY), ..self }
    }

    /// Answers a request. Whatever happens, there is an answer, and one line in the log.
    pub async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response {
        let (route, found) = self.router.find(request.method(), request.uri().path());
        let record = self.record(&request, route);
        let deadline = Instant::now() + self.limits.request;
        let call = self.call(request.headers(), &record, peer, deadline);
        let context = self.context(call, &record, deadline);
        let reply = AssertUnwindSafe(reply(found, context, request)).catch_unwind();
        let outcome = match timeout_at(deadline, reply).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => Err(ApiError::Internal),
            Err(_elapsed) => Err(ApiError::DeadlinePassed),
        };
        record.finish(outcome)
    }

    /// Answers a request that is not to be looked at any further.
    pub fn refuse(&self, request: &Request<Incoming>, bad: HeadError) -> Response {
        self.record(request, None).finish(Err(bad.into()))
    }

    fn record(&self, request: &Request<Incoming>, route: Option<&'static str>) -> RequestLog {
        let (method, route) = (request.method().clone(), route.unwrap_or("-"));
        let id = request.headers().get(REQUEST_ID).filter(|id| is_request_id(id.as_bytes())).cloned();
        RequestLog {
            id: id.unwrap_or_else(new_request_id),
            in_flight: self.accounts.metrics.http.request(route, known(&method)),
            asked: self.origins.cors_request(&method, request.headers()),
            transport_security: self.transport_security.clone(),
            method,
            route,
            api_client: Arc::default(),
        }
    }

    /// Counts the connections of its listener.
    #[must_use]
    pub fn connection(&self) -> OpenConnection {
        self.accounts.metrics.http.connection(self.router.listener())
    }

    fn call(&self, headers: &HeaderMap, record: &RequestLog, peer: SocketAddr, deadline: Instant) -> CallContext {
        let user_agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        CallContext {
            client: Client::new(self.trusted_proxies.client(peer.ip(), headers), &String::from_utf8_lossy(user_agent)),
            request_id: record.id().to_owned(),
            time: TimeBudget::new(self.limits.store).with_deadline(deadline),
        }
    }

    fn context(&self, call: CallContext, record: &RequestLog, deadline: Instant) -> Context {
        Context {
            accounts: Arc::clone(&self.accounts),
            readiness: Arc::clone(&self.readiness),
            token_check: Arc::clone(&self.token_check),
            api_client: Arc::clone(&record.api_client),
            call,
            deadline,
            parameter: None,
        }
    }
}

async fn reply(
    found: Result<RouteMatch, ApiError>,
    context: Context,
    request: Request<Incoming>,
) -> Result<Response, ApiError> {
    match found? {
        RouteMatch::Handler { handler, parameter } => handler(Context { parameter, ..context }, request).await,
        RouteMatch::Options(allow) => Ok(response::options(&allow)),
    }
}
