//! The log event and the metrics of a request.

use std::sync::Arc;

use hyper::Method;
use tracing::{
    error,
    field::{DisplayValue, display},
    info, warn,
};

use super::{context::RequestState, error::ApiError, request_id::RequestId, response::Response};
use crate::{
    api_keys::ApiClientName,
    logging::{REQUEST_TARGET, RequestLines},
    metrics::{InFlightRequest, RouteMetrics},
    model::UserId,
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
pub struct RequestLog<'route> {
    id: RequestId,
    method: &'static str,
    lines: RequestLines,
    in_flight: InFlightRequest<'route>,
    /// `None` if the request was not admitted.
    state: Option<Arc<RequestState>>,
}

impl<'route> RequestLog<'route> {
    /// Counts the request as in flight. `lines` decides whether it is logged.
    pub fn start(id: RequestId, method: &Method, route: &'route RouteMetrics, lines: RequestLines) -> Self {
        let method = method_label(method);
        Self { id, method, lines, in_flight: route.request(method), state: None }
    }

    /// Adds what the request holds, for the names of the callers.
    pub fn set_state(&mut self, state: Arc<RequestState>) {
        self.state = Some(state);
    }

    /// Logs and counts the outcome, and converts it to a response.
    pub fn finish(mut self, outcome: Result<Response, ApiError>) -> Response {
        match outcome {
            Ok(response) => {
                self.responded(response.status().as_u16(), None);
                response
            }
            Err(error) => {
                self.responded(error.parts().0.as_u16(), Some(&error));
                error.into_response()
            }
        }
    }

    pub fn id(&self) -> &RequestId {
        &self.id
    }

    fn responded(&mut self, status: u16, error: Option<&ApiError>) {
        self.in_flight.responded(status);
        if self.lines.include(Some(status)) {
            self.log(status, error);
        }
    }

    /// Adds a line. The macros evaluate its fields only if their level is logged.
    fn log(&self, status: u16, error: Option<&ApiError>) {
        let (id, method, route) = (self.id.as_str(), self.method, self.in_flight.route());
        let (api_client, administrator) = (self.api_client(), self.administrator());
        let code = error.and_then(ApiError::code);
        let cause = || error.and_then(ApiError::cause);
        match status {
            500 => {
                error!(target: REQUEST_TARGET, id, method, route, api_client, administrator, status, cause = cause(), duration_ms = self.duration_ms(), "request failed");
            }
            503 => {
                warn!(target: REQUEST_TARGET, id, method, route, api_client, administrator, status, code, cause = cause(), duration_ms = self.duration_ms(), "request rejected");
            }
            _ => {
                info!(target: REQUEST_TARGET, id, method, route, api_client, administrator, status, code, duration_ms = self.duration_ms(), "request");
            }
        }
    }

    fn api_client(&self) -> Option<&str> {
        self.state.as_ref()?.api_client.get().map(ApiClientName::as_str)
    }

    fn administrator(&self) -> Option<DisplayValue<&UserId>> {
        self.state.as_ref()?.administrator.get().map(display)
    }

    fn duration_ms(&self) -> f64 {
        (self.in_flight.elapsed().as_secs_f64() * 1e6).round() / 1e3
    }
}

impl Drop for RequestLog<'_> {
    fn drop(&mut self) {
        if self.in_flight.has_response() || !self.lines.include(None) {
            return;
        }
        let (id, method, route) = (self.id.as_str(), self.method, self.in_flight.route());
        let (api_client, administrator) = (self.api_client(), self.administrator());
        info!(target: REQUEST_TARGET, id, method, route, api_client, administrator, duration_ms = self.duration_ms(), "request ended without a response");
    }
}

/// Returns the method if HTTP defines it. Any other is arbitrary client input, which must not reach the log or become the
/// label of a metric.
fn method_label(method: &Method) -> &'static str {
    KNOWN_METHODS.iter().find(|known| *known == method).map_or("other", Method::as_str)
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use hyper::HeaderMap;
    use tracing::subscriber::with_default;

    use super::*;
    use crate::metrics::Metrics;

    /// Counts the lines of a log.
    #[derive(Clone, Default)]
    struct LineCount(Arc<AtomicUsize>);

    impl io::Write for LineCount {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the number of lines of a request that ends in this way.
    fn line_count(lines: RequestLines, end: fn(RequestLog<'_>)) -> usize {
        let (count, route) = (LineCount::default(), Metrics::new("").http.route("/profile/"));
        let writer = count.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        with_default(subscriber, || {
            end(RequestLog::start(RequestId::of(&HeaderMap::new()), &Method::GET, &route, lines));
        });
        count.0.load(Ordering::Relaxed)
    }

    #[test]
    fn request_has_one_line_or_none_as_set() {
        let ends: [fn(RequestLog<'_>); 5] = [
            |log| drop(log.finish(Ok(Response::default()))),
            |log| drop(log.finish(Err(ApiError::NotFound))),
            |log| drop(log.finish(Err(ApiError::DeadlinePassed))),
            |log| drop(log.finish(Err(ApiError::Internal))),
            |log| drop(log),
        ];

        let counts = |lines| ends.map(|end| line_count(lines, end));

        assert_eq!(counts(RequestLines::All), [1, 1, 1, 1, 1]);
        assert_eq!(counts(RequestLines::Errors), [0, 0, 1, 1, 1]);
        assert_eq!(counts(RequestLines::None), [0; 5]);
    }
}
