//! The log event and the metrics of a request.

use std::sync::{Arc, OnceLock};

use hyper::Method;
use tracing::{error, info, warn};

use super::{error::ApiError, request_id::RequestId, response::Response};
use crate::{
    api_keys::ApiClientName,
    logging::REQUEST_TARGET,
    metrics::{HttpMetrics, InFlightRequest},
};

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

/// Logs and counts one request: when it is finished, or when it is dropped because the client hung up.
pub struct RequestLog {
    id: RequestId,
    method: &'static str,
    route: &'static str,
    in_flight: InFlightRequest,
    api_client: Arc<OnceLock<ApiClientName>>,
}

impl RequestLog {
    /// Counts the request as in flight. `route` is the pattern that matches its path, if one does.
    pub fn start(id: RequestId, method: &Method, route: Option<&'static str>, metrics: &Arc<HttpMetrics>) -> Self {
        let (method, route) = (method_label(method), route.unwrap_or("-"));
        Self { id, method, route, in_flight: metrics.request(route, method), api_client: Arc::default() }
    }

    /// Logs and counts the outcome, and converts it to a response.
    pub fn finish(mut self, outcome: Result<Response, ApiError>) -> Response {
        let (code, cause) = match &outcome {
            Ok(_) => (None, None),
            Err(error) => (error.code(), error.cause()),
        };
        let response = outcome.unwrap_or_else(ApiError::into_response);
        self.in_flight.responded(response.status().as_str());
        self.log(response.status().as_u16(), code, cause.as_deref());
        response
    }

    pub fn id(&self) -> &RequestId {
        &self.id
    }

    /// Returns the cell for the name of the API client, which is logged if it is set.
    pub fn api_client(&self) -> Arc<OnceLock<ApiClientName>> {
        Arc::clone(&self.api_client)
    }

    fn log(&self, status: u16, code: Option<&str>, cause: Option<&str>) {
        let (method, route) = (self.method, self.route);
        let (id, api_client, duration_ms) = (self.id.as_str(), self.api_client_name(), self.duration_ms());
        match status {
            500 => {
                error!(target: REQUEST_TARGET, id, method, route, api_client, status, cause, duration_ms, "request failed");
            }
            503 => {
                warn!(target: REQUEST_TARGET, id, method, route, api_client, status, code, cause, duration_ms, "request rejected");
            }
            _ => info!(target: REQUEST_TARGET, id, method, route, api_client, status, code, duration_ms, "request"),
        }
    }

    fn api_client_name(&self) -> Option<&str> {
        self.api_client.get().map(ApiClientName::as_str)
    }

    fn duration_ms(&self) -> f64 {
        (self.in_flight.elapsed().as_secs_f64() * 1e6).round() / 1e3
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        if !self.in_flight.has_response() {
            let (method, route) = (self.method, self.route);
            let (id, api_client, duration_ms) = (self.id.as_str(), self.api_client_name(), self.duration_ms());
            info!(target: REQUEST_TARGET, id, method, route, api_client, duration_ms, "request ended without a response");
        }
    }
}

/// Returns the method if HTTP defines it. Any other is arbitrary client input, which must not reach the log or become the
/// label of a metric.
fn method_label(method: &Method) -> &'static str {
    KNOWN_METHODS.iter().find(|known| *known == method).map_or("other", Method::as_str)
}
