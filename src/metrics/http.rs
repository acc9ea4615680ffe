//! Metrics of requests and connections.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

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

    /// Returns the metrics of the requests of one route.
    #[must_use]
    pub fn route(self: &Arc<Self>, route: &'static str) -> RouteMetrics {
        RouteMetrics { http: Arc::clone(self), route, methods: FirstSeen::default() }
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

/// The metrics of the requests of one route. A series appears with its first request, and is looked up only then: a look-up
/// hashes its labels and takes a lock.
#[derive(Debug)]
pub struct RouteMetrics {
    http: Arc<HttpMetrics>,
    route: &'static str,
    /// By method: nine standard ones, and `other`.
    methods: FirstSeen<&'static str, MethodMetrics, 10>,
}

impl RouteMetrics {
    /// Counts a new request, which is in flight until the returned value is dropped. `method` is one of at most ten labels.
    #[must_use]
    pub fn request(&self, method: &'static str) -> InFlightRequest<'_> {
        self.http.in_flight.inc();
        let started = Instant::now();
        let series = self.methods.get_or_add(method, MethodMetrics::default);
        let series = series.unwrap_or_else(|| unreachable!("{method} is one of ten labels"));
        InFlightRequest { route: self, method, series, started, has_response: false }
    }
}

/// The metrics of a route and a method.
#[derive(Debug, Default)]
struct MethodMetrics {
    duration: OnceLock<Histogram>,
    /// By status; `None` counts the requests without a response. `http/error.rs` and `http/response.rs` have 14 statuses.
    statuses: FirstSeen<Option<u16>, IntCounter, 16>,
}

/// A request in flight. If it is dropped without a response, its status counts as `none`.
#[derive(Debug)]
pub struct InFlightRequest<'route> {
    route: &'route RouteMetrics,
    method: &'static str,
    series: &'route MethodMetrics,
    started: Instant,
    has_response: bool,
}

impl InFlightRequest<'_> {
    /// Counts the request with the status of its response.
    pub fn responded(&mut self, status: u16) {
        self.has_response = true;
        self.count(Some(status));
    }

    fn count(&self, status: Option<u16>) {
        let Self { route, method, series, .. } = self;
        let look_up = || {
            let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            route.http.requests.with_label_values(&[route.route, method, &status])
        };
        series.statuses.get_or_add(status, look_up).map_or_else(|| look_up().inc(), IntCounter::inc);
    }

    /// Returns the label of the route.
    #[must_use]
    pub fn route(&self) -> &'static str {
        self.route.route
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

impl Drop for InFlightRequest<'_> {
    fn drop(&mut self) {
        if !self.has_response {
            self.count(None);
        }
        self.route.http.in_flight.dec();
        let look_up = || self.route.http.durations.with_label_values(&[self.route.route, self.method]);
        self.series.duration.get_or_init(look_up).observe(self.elapsed().as_secs_f64());
    }
}

/// A map of at most `N` keys, each of which stays once it is added. A look-up compares keys in the order of their first use:
/// it takes no lock.
struct FirstSeen<K, V, const N: usize>([OnceLock<(K, V)>; N]);

impl<K, V, const N: usize> Default for FirstSeen<K, V, N> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; N])
    }
}

impl<K: Copy + Eq, V, const N: usize> FirstSeen<K, V, N> {
    /// Returns the value of a key, which `make` creates at its first use. Returns `None` if there are `N` other keys.
    fn get_or_add(&self, key: K, make: impl Fn() -> V) -> Option<&V> {
        // Another thread may add another key to the slot first.
        let mut entries = self.0.iter().map(|slot| slot.get_or_init(|| (key, make())));
        entries.find(|(known, _)| *known == key).map(|(_, value)| value)
    }
}

impl<K: fmt::Debug, V: fmt::Debug, const N: usize> fmt::Debug for FirstSeen<K, V, N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.0.iter().filter_map(OnceLock::get).map(|(key, value)| (key, value))).finish()
    }
}

/// An open connection.
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::registry::Metrics;

    /// Returns the samples of a metric.
    fn samples(metrics: &Metrics, name: &str) -> Vec<String> {
        let text = metrics.render();
        text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
    }

    #[test]
    fn request_counts_once_by_route_method_and_status() {
        let metrics = Metrics::new("");
        let route = metrics.http.route("/profile/");
        for (method, status) in [("GET", 200), ("GET", 401), ("PATCH", 200), ("GET", 200)] {
            route.request(method).responded(status);
        }
        drop(route.request("GET"));

        insta::assert_snapshot!(samples(&metrics, "postern_http_requests_").join("\n"), @r#"
        postern_http_requests_in_flight 0
        postern_http_requests_total{method="GET",route="/profile/",status="200"} 2
        postern_http_requests_total{method="GET",route="/profile/",status="401"} 1
        postern_http_requests_total{method="GET",route="/profile/",status="none"} 1
        postern_http_requests_total{method="PATCH",route="/profile/",status="200"} 1
        "#);
        insta::assert_snapshot!(samples(&metrics, "postern_http_request_duration_seconds_count").join("\n"), @r#"
        postern_http_request_duration_seconds_count{method="GET",route="/profile/"} 4
        postern_http_request_duration_seconds_count{method="PATCH",route="/profile/"} 1
        "#);
    }

    #[test]
    fn series_of_a_route_without_requests_does_not_exist() {
        let metrics = Metrics::new("");

        let _route = metrics.http.route("/profile/");

        assert_eq!(samples(&metrics, "postern_http_requests_total"), [""; 0]);
    }

    #[test]
    fn concurrent_first_requests_are_all_counted() {
        const THREADS: usize = 8;
        let metrics = Metrics::new("");
        let route = metrics.http.route("/profile/");

        thread::scope(|scope| {
            for status in 200..200 + u16::try_from(THREADS).expect("few") {
                let route = &route;
                scope.spawn(move || (0..100).for_each(|_| route.request("GET").responded(status)));
            }
        });

        let totals = samples(&metrics, "postern_http_requests_total");
        assert!(totals.len() == THREADS && totals.iter().all(|line| line.ends_with(" 100")), "{totals:?}");
    }
}
