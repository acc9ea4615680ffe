//! Answers a request, in the order of the lines of [`Service::answer`].

use std::{
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::FutureExt as _;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request,
    body::{Body as _, Incoming},
    header::{self, HeaderName, HeaderValue},
};
use tokio::time::timeout_at;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{
    ops::Readiness,
    output::{self, Response},
    problem::Problem,
    router::{Found, Router},
    vouch::Vouching,
};
use crate::{
    accounts::{Accounts, Client, WithoutSessions},
    metrics::{HttpMetrics, OpenConnection, RequestUnderWay},
    operators::{OperatorName, Operators},
    store::StoreTime,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What an answer may do where a browser shows it: nothing, and in no frame (OWASP, REST Security Cheat Sheet).
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// The methods of RFC 9110, section 9, and RFC 5789.
static KNOWN_METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

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
    pub vouching: Arc<Vouching>,
    /// Which operator has been admitted: for the log.
    pub operator: Arc<OnceLock<OperatorName>>,
    /// Who asks.
    pub client: Client,
    /// When the request must have been answered.
    pub deadline: tokio::time::Instant,
    /// The time that its store calls may take together.
    pub store_time: StoreTime,
    /// What its path has in place of the pattern's parameter, as it was sent.
    pub parameter: Option<String>,
}

/// Answers the requests of one listener.
pub struct Service {
    router: Router,
    accounts: Arc<Accounts>,
    readiness: Arc<Readiness>,
    vouching: Arc<Vouching>,
    limits: RequestLimits,
}

impl Service {
    /// A service of these routes that has no operator, and vouches for nobody whose session is not known.
    #[must_use]
    pub fn new(router: Router, accounts: Arc<Accounts>, readiness: Arc<Readiness>, limits: RequestLimits) -> Self {
        let operators = Operators::nobody(Arc::clone(&accounts.clock));
        let vouching = Arc::new(Vouching { operators, without_sessions: WithoutSessions::Refuse });
        Self { router, accounts, readiness, vouching, limits }
    }

    /// The same, with what other services are told.
    #[must_use]
    pub fn with_vouching(self, vouching: Arc<Vouching>) -> Self {
        Self { vouching, ..self }
    }

    /// Answers a request. Whatever happens, there is an answer, and one line in the log.
    pub async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response {
        let (route, found) = self.router.find(request.method(), request.uri().path());
        let record = Record::of(&request, route, &self.accounts.metrics.http);
        let deadline = tokio::time::Instant::now() + self.limits.request;
        let context =
            Context { operator: Arc::clone(&record.operator), ..self.context(request.headers(), peer, deadline) };
        let reply = AssertUnwindSafe(reply(found, context, request)).catch_unwind();
        let outcome = match timeout_at(deadline, reply).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => Err(Problem::Internal),
            Err(_elapsed) => Err(Problem::DeadlinePassed),
        };
        record.finish(outcome)
    }

    /// Counts the connections of its listener.
    #[must_use]
    pub fn connection(&self) -> OpenConnection {
        self.accounts.metrics.http.connection(self.router.listener())
    }

    fn context(&self, headers: &HeaderMap, peer: SocketAddr, deadline: tokio::time::Instant) -> Context {
        let user_agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        Context {
            accounts: Arc::clone(&self.accounts),
            readiness: Arc::clone(&self.readiness),
            vouching: Arc::clone(&self.vouching),
            operator: Arc::default(),
            client: Client::new(peer.ip().to_canonical(), &String::from_utf8_lossy(user_agent)),
            deadline,
            store_time: StoreTime::of(self.limits.store).by(deadline),
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
        Found::Options(allow) => Ok(output::options(&allow)),
    }
}

/// What the log says of a request: one line, also where its caller does not wait for the answer.
struct Record {
    id: HeaderValue,
    method: Method,
    route: &'static str,
    under_way: RequestUnderWay,
    operator: Arc<OnceLock<OperatorName>>,
}

impl Record {
    fn of(request: &Request<Incoming>, route: Option<&'static str>, metrics: &Arc<HttpMetrics>) -> Self {
        let (method, route) = (request.method().clone(), route.unwrap_or("-"));
        let id = request.headers().get(REQUEST_ID).filter(|id| is_request_id(id.as_bytes())).cloned();
        let under_way = metrics.request(route, known(&method));
        Self { id: id.unwrap_or_else(new_request_id), under_way, method, route, operator: Arc::default() }
    }

    /// Writes the line, and puts on the headers that every response has.
    fn finish(mut self, outcome: Result<Response, Problem>) -> Response {
        let (code, cause) = match &outcome {
            Ok(_) => (None, None),
            Err(problem) => (problem.code(), problem.cause()),
        };
        let mut response = outcome.unwrap_or_else(Problem::into_response);
        self.under_way.answered(response.status().as_str());
        self.log(response.status().as_u16(), code, cause.as_deref());
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, self.id.clone());
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(NOTHING));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        // The answer to a HEAD says how long the body would be, and hyper would send that body over HTTP/2.
        if self.method == Method::HEAD {
            let length = response.body().size_hint().lower();
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            *response.body_mut() = Full::default();
        }
        response
    }

    fn log(&self, status: u16, code: Option<&str>, cause: Option<&str>) {
        let (id, method, route, duration_ms) = self.fields();
        let operator = self.operator.get().map(OperatorName::as_str);
        match status {
            500 => error!(id, method, route, operator, status, cause, duration_ms, "request failed"),
            503 => warn!(id, method, route, operator, status, code, cause, duration_ms, "request refused"),
            _ => info!(id, method, route, operator, status, code, duration_ms, "request"),
        }
    }

    fn fields(&self) -> (&str, &str, &'static str, f64) {
        let id = self.id.to_str().unwrap_or_default();
        let duration_ms = (self.under_way.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        (id, known(&self.method), self.route, duration_ms)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.under_way.is_answered() {
            let (id, method, route, duration_ms) = self.fields();
            let operator = self.operator.get().map(OperatorName::as_str);
            info!(id, method, route, operator, duration_ms, "request ended without an answer");
        }
    }
}

/// A method may be any token of any length: only those that HTTP knows are repeated.
fn known(method: &Method) -> &'static str {
    KNOWN_METHODS.iter().find(|known| *known == method).map_or("other", Method::as_str)
}

fn is_request_id(id: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=128).contains(&id.len()) && id.iter().all(is_allowed)
}

fn new_request_id() -> HeaderValue {
    let id = Uuid::new_v4().to_string();
    HeaderValue::from_str(&id).unwrap_or_else(|_| unreachable!("a UUID is visible ASCII"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_1_to_128_harmless_characters() {
        assert!(is_request_id(b"a.B-3_4"));
        assert!(is_request_id(&[b'x'; 128]));
        for id in [&b""[..], &[b'x'; 129], b"a b", b"a\nb", b"a\"b", "ä".as_bytes()] {
            assert!(!is_request_id(id), "{id:?}");
        }
    }
}
