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
    context::{Context, RequestLimits, Vouching},
    cors::Origins,
    error::{BadHead, Problem},
    readiness::Readiness,
    request_log::{REQUEST_ID, Record, TRANSPORT_SECURITY, is_request_id, known, new_request_id},
    response::Response,
    router::{Found, Router},
};
use crate::{
    accounts::{Accounts, Call, WithoutSessions},
    api_keys::Operators,
    http::response,
    metrics::OpenConnection,
    model::Client,
    store::StoreTime,
};

/// Answers the requests of one listener.
pub struct Service {
    router: Router,
    accounts: Arc<Accounts>,
    readiness: Arc<Readiness>,
    vouching: Arc<Vouching>,
    trusted_proxies: TrustedProxies,
    limits: RequestLimits,
    origins: Origins,
    transport_security: Option<HeaderValue>,
}

impl Service {
    /// A service of these routes that has no operator and no proxy, and vouches for nobody whose session is not known.
    #[must_use]
    pub fn new(router: Router, accounts: Arc<Accounts>, readiness: Arc<Readiness>, limits: RequestLimits) -> Self {
        let operators = Operators::nobody(Arc::clone(&accounts.clock));
        let vouching = Arc::new(Vouching { operators, without_sessions: WithoutSessions::Refuse });
        Self {
            router,
            accounts,
            readiness,
            vouching,
            trusted_proxies: TrustedProxies::default(),
            limits,
            origins: Origins::default(),
            transport_security: None,
        }
    }

    /// The same, with what other services are told.
    #[must_use]
    pub fn with_vouching(self, vouching: Arc<Vouching>) -> Self {
        Self { vouching, ..self }
    }

    /// The same, behind proxies whose `X-Forwarded-For` is believed.
    #[must_use]
    pub fn behind(self, trusted_proxies: TrustedProxies) -> Self {
        Self { trusted_proxies, ..self }
    }

    /// The same, for scripts of these origins as well.
    #[must_use]
    pub fn with_origins(self, origins: Origins) -> Self {
        Self { origins, ..self }
    }

    /// The same, where it is reached by TLS alone.
    #[must_use]
    pub fn over_tls(self) -> Self {
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
            Ok(Err(_panic)) => Err(Problem::Internal),
            Err(_elapsed) => Err(Problem::DeadlinePassed),
        };
        record.finish(outcome)
    }

    /// Answers a request that is not to be looked at any further.
    pub fn refuse(&self, request: &Request<Incoming>, bad: BadHead) -> Response {
        self.record(request, None).finish(Err(bad.into()))
    }

    fn record(&self, request: &Request<Incoming>, route: Option<&'static str>) -> Record {
        let (method, route) = (request.method().clone(), route.unwrap_or("-"));
        let id = request.headers().get(REQUEST_ID).filter(|id| is_request_id(id.as_bytes())).cloned();
        Record {
            id: id.unwrap_or_else(new_request_id),
            under_way: self.accounts.metrics.http.request(route, known(&method)),
            asked: self.origins.asked(&method, request.headers()),
            transport_security: self.transport_security.clone(),
            method,
            route,
            operator: Arc::default(),
        }
    }

    /// Counts the connections of its listener.
    #[must_use]
    pub fn connection(&self) -> OpenConnection {
        self.accounts.metrics.http.connection(self.router.listener())
    }

    fn call(&self, headers: &HeaderMap, record: &Record, peer: SocketAddr, deadline: Instant) -> Call {
        let user_agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        Call {
            client: Client::new(self.trusted_proxies.client(peer.ip(), headers), &String::from_utf8_lossy(user_agent)),
            request_id: record.id().to_owned(),
            time: StoreTime::of(self.limits.store).by(deadline),
        }
    }

    fn context(&self, call: Call, record: &Record, deadline: Instant) -> Context {
        Context {
            accounts: Arc::clone(&self.accounts),
            readiness: Arc::clone(&self.readiness),
            vouching: Arc::clone(&self.vouching),
            operator: Arc::clone(&record.operator),
            call,
            deadline,
            parameter: None,
        }
    }
}

async fn reply(
    found: Result<Found, Problem>,
    context: Context,
    request: Request<Incoming>,
) -> Result<Response, Problem> {
    match found? {
        Found::Handler { handler, parameter } => handler(Context { parameter, ..context }, request).await,
        Found::Options(allow) => Ok(response::options(&allow)),
    }
}
