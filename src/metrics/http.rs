//! Metrics of requests and connections.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus::{HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};

use super::families;
use super::instruments::Registrar;

/// Metrics of requests and connections.
#[derive(Debug)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    in_flight: IntGauge,
    connections: IntGaugeVec,
    accepted: IntCounterVec,
    forwarding_problems: IntCounterVec,
}

impl HttpMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        Self {
            requests: make.counter(&families::REQUESTS),
            durations: make.histogram(&families::REQUEST_DURATION),
            in_flight: make.gauge(&families::REQUESTS_IN_FLIGHT).with_label_values::<&str>(&[]),
            connections: make.gauge(&families::CONNECTIONS),
            accepted: make.counter(&families::CONNECTIONS_ACCEPTED),
            forwarding_problems: make.counter(&families::FORWARDING_PROBLEMS),
        }
    }

    /// Counts a new request, which is in flight until the returned value is dropped.
    #[must_use]
    pub fn request(self: &Arc<Self>, route: &'static str, method: &'static str) -> InFlightRequest {
        self.in_flight.inc();
        InFlightRequest { http: Arc::clone(self), route, method, started: Instant::now(), has_response: false }
    }

    /// Counts an accepted connection, which is open until the returned value is dropped.
    #[must_use]
    pub fn connection(&self, listener: &'static str) -> OpenConnection {
        self.accepted.with_label_values(&[listener]).inc();
        let open = self.connections.with_label_values(&[listener]);
        open.inc();
        OpenConnection(open)
    }

    /// Counts a request whose client a proxy may hide, by the label of the problem.
    pub fn count_forwarding_problem(&self, problem: &'static str) {
        self.forwarding_problems.with_label_values(&[problem]).inc();
    }
}

/// A request in flight. If it is dropped without a response, its status counts as `none`.
pub struct InFlightRequest {
    http: Arc<HttpMetrics>,
    route: &'static str,
    method: &'static str,
    started: Instant,
    has_response: bool,
}

impl InFlightRequest {
    /// Counts the request with the status of its response.
    pub fn responded(&mut self, status: &str) {
        self.has_response = true;
        self.http.requests.with_label_values(&[self.route, self.method, status]).inc();
    }

    /// Returns whether the request has a response.
    #[must_use]
    pub fn has_response(&self) -> bool {
        self.has_response
    }

    /// Returns the time since the request arrived.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for InFlightRequest {
    fn drop(&mut self) {
        if !self.has_response {
            self.responded("none");
        }
        self.http.in_flight.dec();
        self.http.durations.with_label_values(&[self.route, self.method]).observe(self.elapsed().as_secs_f64());
    }
}

/// An open connection.
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
