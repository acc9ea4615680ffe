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
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{
    cors::{Asked, Origins},
    forwarded::TrustedProxies,
    ops::Readiness,
    output::{self, Response},
    problem::{BadHead, Problem},
    router::{Found, Router},
    vouch::Vouching,
};
use crate::{
    accounts::{Accounts, Call, Client, WithoutSessions},
    metrics::{OpenConnection, RequestUnderWay},
    operators::{OperatorName, Operators},
    store::StoreTime,
};

/// For a year, as it is usually said: whoever has come by TLS shall not come without it (RFC 6797).
const TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=31536000");

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What browsers are told with every answer: that it is data, and never a page of its own, a part of another, or the place
/// that a request comes from (OWASP REST Security Cheat Sheet, "Security Headers"). `form-action`, `base-uri` and
/// `frame-ancestors` do not follow from `default-src` (CSP 3, section 6.1). There is no `Permissions-Policy`: it is about
/// pages alone.
static FOR_BROWSERS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

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
    /// Who asks, and how much time there is for the stores.
    pub call: Call,
    /// When the request must have been answered.
    pub deadline: Instant,
    /// What its path has in place of the pattern's parameter, as it was sent.
    pub parameter: Option<String>,
}

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
    asked: Asked,
    transport_security: Option<HeaderValue>,
}

impl Record {
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
        headers.extend(FOR_BROWSERS.iter().cloned());
        headers.extend(self.transport_security.take().map(|value| (header::STRICT_TRANSPORT_SECURITY, value)));
        self.asked.tell(&mut response);
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

    fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    fn fields(&self) -> (&str, &str, &'static str, f64) {
        let duration_ms = (self.under_way.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        (self.id(), known(&self.method), self.route, duration_ms)
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

pub fn is_request_id(id: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=128).contains(&id.len()) && id.iter().all(is_allowed)
}

fn new_request_id() -> HeaderValue {
    let id = Uuid::new_v4().to_string();
    HeaderValue::from_str(&id).unwrap_or_else(|_| unreachable!("a UUID is visible ASCII"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_id_is_1_to_128_harmless_characters() {
        assert!(is_request_id(b"a.B-3_4"));
        assert!(is_request_id(&[b'x'; 128]));
        for id in [&b""[..], &[b'x'; 129], b"a b", b"a\nb", b"a\"b", "ä".as_bytes()] {
            assert!(!is_request_id(id), "{id:?}");
        }
    }

    proptest! {
        #[test]
        fn a_request_id_needs_no_quotes_wherever_it_is_written(
            id in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..3),
                prop::collection::vec(prop::sample::select(&b"azAZ09._-"[..]), 120..136),
            ],
        ) {
            let expected = str::from_utf8(&id).is_ok_and(|id| {
                (1..=128).contains(&id.len()) && id.chars().all(|c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-'))
            });

            prop_assert_eq!(is_request_id(&id), expected);
        }
    }
}
