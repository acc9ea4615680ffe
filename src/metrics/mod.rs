//! Metrics: what happens, in numbers, for Prometheus to fetch.
//!
//! `families.rs` is the table of all of them; the README shows the same table, and a test compares.

mod families;
mod instruments;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus::{
    Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
    process_collector::ProcessCollector,
};

use self::instruments::Maker;
pub use self::{
    families::{FAMILIES, Family, Kind, Label, OPERATIONS, Values},
    instruments::{Calls, Endings},
};

/// The type of [`Metrics::render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every metric of a process.
pub struct Metrics {
    registry: Registry,
    /// Requests and connections.
    pub http: Arc<HttpMetrics>,
    /// The hashing threads and their queue.
    pub hashing: HashingMetrics,
    /// The use cases.
    pub accounts: AccountMetrics,
    /// Attempts that are limited.
    pub throttle: ThrottleMetrics,
    /// The audit trail.
    pub audit: AuditMetrics,
    /// Calls to the stores.
    pub store_calls: Calls,
    pools: Pools,
    keys: KeysReading,
}

impl Metrics {
    /// Metrics that have counted nothing yet; `access_formats` are those that are built in.
    #[must_use]
    pub fn new(access_formats: &str) -> Self {
        let registry = Registry::new();
        let make = Maker(&registry);
        let metrics = Self {
            http: Arc::new(HttpMetrics::new(&make)),
            hashing: HashingMetrics::new(&make),
            accounts: AccountMetrics::new(&make),
            throttle: ThrottleMetrics::new(&make),
            audit: AuditMetrics::new(&make),
            store_calls: Calls {
                endings: make.counter(&families::STORE_CALLS),
                durations: make.histogram(&families::STORE_CALL_DURATION),
            },
            pools: Pools::new(&make),
            keys: KeysReading::new(&make),
            registry: registry.clone(),
        };
        make.gauge(&families::BUILD_INFO).with_label_values(&[env!("CARGO_PKG_VERSION"), access_formats]).set(1);
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .unwrap_or_else(|error| unreachable!("no other collector has these names: {error}"));
        metrics
    }

    /// Has a pool's use shown; `read` is called each time that the metrics are fetched, and must not wait.
    pub fn watch_pool(&self, store: &'static str, read: impl Fn() -> PoolUse + Send + Sync + 'static) {
        let mut watched = self.pools.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.push((store, Box::new(read)));
    }

    /// Has it shown whether the directory of the keys could be used when it was last read; `read` is called each time that
    /// the metrics are fetched, and must not wait.
    pub fn watch_keys(&self, read: impl Fn() -> bool + Send + Sync + 'static) {
        *self.keys.watched.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(read));
    }

    /// Everything, in the text format of Prometheus (version 0.0.4).
    #[must_use]
    pub fn render(&self) -> String {
        self.pools.read();
        self.keys.read();
        let families = self.registry.gather();
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_else(|error| unreachable!("the names were checked when they were registered: {error}"))
    }
}

/// Requests and connections.
#[derive(Debug)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    in_flight: IntGauge,
    connections: IntGaugeVec,
    accepted: IntCounterVec,
}

impl HttpMetrics {
    fn new(make: &Maker<'_>) -> Self {
        Self {
            requests: make.counter(&families::REQUESTS),
            durations: make.histogram(&families::REQUEST_DURATION),
            in_flight: make.gauge(&families::REQUESTS_IN_FLIGHT).with_label_values::<&str>(&[]),
            connections: make.gauge(&families::CONNECTIONS),
            accepted: make.counter(&families::CONNECTIONS_ACCEPTED),
        }
    }

    /// A request has come, and is in flight until what is returned is dropped.
    #[must_use]
    pub fn request(self: &Arc<Self>, route: &'static str, method: &'static str) -> RequestUnderWay {
        self.in_flight.inc();
        RequestUnderWay { http: Arc::clone(self), route, method, started: Instant::now(), is_answered: false }
    }

    /// A connection has been accepted, and is open until what is returned is dropped.
    #[must_use]
    pub fn connection(&self, listener: &'static str) -> OpenConnection {
        self.accepted.with_label_values(&[listener]).inc();
        let open = self.connections.with_label_values(&[listener]);
        open.inc();
        OpenConnection(open)
    }
}

/// A request that waits for its answer.
pub struct RequestUnderWay {
    http: Arc<HttpMetrics>,
    route: &'static str,
    method: &'static str,
    started: Instant,
    is_answered: bool,
}

impl RequestUnderWay {
    /// It has been answered.
    pub fn answered(&mut self, status: &str) {
        self.is_answered = true;
        self.http.requests.with_label_values(&[self.route, self.method, status]).inc();
    }

    /// Whether it has been answered.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// How long it has been under way.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        if !self.is_answered {
            self.answered("none");
        }
        self.http.in_flight.dec();
        self.http.durations.with_label_values(&[self.route, self.method]).observe(self.elapsed().as_secs_f64());
    }
}

/// A connection that is open.
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The hashing threads and their queue.
#[derive(Debug, Clone)]
pub struct HashingMetrics {
    /// How many threads there are.
    pub threads: IntGauge,
    /// How many jobs wait.
    pub queue_depth: IntGauge,
    /// How long jobs have waited, in seconds.
    pub queue_wait: Histogram,
    /// How long hashes and comparisons have taken, in seconds.
    pub hashes: Histogram,
    /// The least time that a hash with the current parameters has taken, in seconds.
    pub bare: Gauge,
    /// How long judgements have taken, in seconds.
    pub judgements: Histogram,
    /// How many jobs were refused.
    pub refusals: IntCounter,
}

impl HashingMetrics {
    fn new(make: &Maker<'_>) -> Self {
        let durations = make.histogram(&families::HASHING_DURATION);
        Self {
            threads: make.gauge(&families::HASHING_THREADS).with_label_values::<&str>(&[]),
            queue_depth: make.gauge(&families::HASHING_QUEUE_DEPTH).with_label_values::<&str>(&[]),
            queue_wait: make.histogram(&families::HASHING_QUEUE_WAIT).with_label_values::<&str>(&[]),
            hashes: durations.with_label_values(&["hash"]),
            bare: make.fraction(&families::HASHING_BARE).with_label_values::<&str>(&[]),
            judgements: durations.with_label_values(&["judgement"]),
            refusals: make.counter(&families::HASHING_REFUSALS).with_label_values::<&str>(&[]),
        }
    }
}

/// The use cases.
#[derive(Debug, Clone)]
pub struct AccountMetrics {
    /// Sign-ups.
    pub sign_ups: Endings,
    /// Logins.
    pub logins: Endings,
    /// Refreshes.
    pub refreshes: Endings,
    /// Password changes.
    pub password_changes: Endings,
    refresh_tokens: IntCounterVec,
    /// Answers of `/verify/` that the session store had no part in.
    pub identified_without_session: IntCounter,
    /// Sessions opened by a sign-up.
    pub opened_by_sign_up: IntCounter,
    /// Sessions opened by a login.
    pub opened_by_login: IntCounter,
    /// Sessions ended by a logout.
    pub ended_by_logout: IntCounter,
    /// Sessions that their user has picked out.
    pub ended_by_user: IntCounter,
    /// Sessions ended by a logout everywhere.
    pub ended_by_logout_everywhere: IntCounter,
    /// Sessions ended by a password change.
    pub ended_by_password_change: IntCounter,
    /// Sessions ended by the deletion of their user's account.
    pub ended_by_account_deletion: IntCounter,
    /// Sessions ended because their user had too many.
    pub ended_as_too_many: IntCounter,
    /// Sessions ended because two had the same refresh token.
    pub ended_by_theft: IntCounter,
}

impl AccountMetrics {
    fn new(make: &Maker<'_>) -> Self {
        let opened = make.counter(&families::SESSIONS_OPENED);
        let ended = make.counter(&families::SESSIONS_ENDED);
        Self {
            sign_ups: Endings(make.counter(&families::SIGN_UPS)),
            logins: Endings(make.counter(&families::LOGINS)),
            refreshes: Endings(make.counter(&families::REFRESHES)),
            password_changes: Endings(make.counter(&families::PASSWORD_CHANGES)),
            identified_without_session: make.counter(&families::DEGRADED_VERIFICATIONS).with_label_values::<&str>(&[]),
            opened_by_sign_up: opened.with_label_values(&["sign_up"]),
            opened_by_login: opened.with_label_values(&["login"]),
            refresh_tokens: make.counter(&families::REFRESH_TOKENS),
            ended_by_logout: ended.with_label_values(&["logout"]),
            ended_by_user: ended.with_label_values(&["ended_by_user"]),
            ended_by_logout_everywhere: ended.with_label_values(&["logout_everywhere"]),
            ended_by_password_change: ended.with_label_values(&["password_change"]),
            ended_by_account_deletion: ended.with_label_values(&["account_deletion"]),
            ended_as_too_many: ended.with_label_values(&["too_many"]),
            ended_by_theft: ended.with_label_values(&["theft"]),
        }
    }

    /// A session in force was presented with a refresh token: what became of it.
    pub fn presented(&self, presentation: &'static str) {
        self.refresh_tokens.with_label_values(&[presentation]).inc();
    }
}

/// Attempts that are limited.
#[derive(Debug, Clone)]
pub struct ThrottleMetrics {
    throttled: IntCounterVec,
    /// Attempts that a server counted by itself.
    pub counted_alone: IntCounter,
}

impl ThrottleMetrics {
    fn new(make: &Maker<'_>) -> Self {
        Self {
            throttled: make.counter(&families::THROTTLED),
            counted_alone: make.counter(&families::COUNTED_ALONE).with_label_values::<&str>(&[]),
        }
    }

    /// An attempt has been refused by this limit.
    pub fn refused(&self, limit: &'static str) {
        self.throttled.with_label_values(&[limit]).inc();
    }
}

/// The audit trail.
#[derive(Debug, Clone)]
pub struct AuditMetrics {
    /// Events that wait for the table.
    pub pending: IntGauge,
    /// Events that the queue had no room for.
    pub dropped_from_full_queue: IntCounter,
    /// Events of a flood that costs nothing to cause.
    pub dropped_in_flood: IntCounter,
}

impl AuditMetrics {
    fn new(make: &Maker<'_>) -> Self {
        let dropped = make.counter(&families::AUDIT_DROPPED);
        Self {
            pending: make.gauge(&families::AUDIT_PENDING).with_label_values::<&str>(&[]),
            dropped_from_full_queue: dropped.with_label_values(&["queue_full"]),
            dropped_in_flood: dropped.with_label_values(&["flood"]),
        }
    }
}

/// How a pool of connections is used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// Connections that nobody uses.
    pub idle: usize,
    /// Connections that somebody uses.
    pub in_use: usize,
    /// The most connections that there may be.
    pub max: usize,
    /// Calls that wait for one.
    pub waiting: usize,
    /// Calls that were to be made once more.
    pub retries: RetryCounts,
}

/// How many retries have been asked for since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryCounts {
    /// Within the budget.
    pub made: u64,
    /// Beyond it.
    pub refused: u64,
}

struct Pools {
    connections: IntGaugeVec,
    max_connections: IntGaugeVec,
    waiting: IntGaugeVec,
    retries: IntCounterVec,
    watched: Mutex<Vec<WatchedPool>>,
}

type WatchedPool = (&'static str, Box<dyn Fn() -> PoolUse + Send + Sync>);

impl Pools {
    fn new(make: &Maker<'_>) -> Self {
        Self {
            connections: make.gauge(&families::POOL_CONNECTIONS),
            max_connections: make.gauge(&families::POOL_MAX_CONNECTIONS),
            waiting: make.gauge(&families::POOL_WAITING),
            retries: make.counter(&families::STORE_RETRIES),
            watched: Mutex::default(),
        }
    }

    fn read(&self) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (store, read) in self.watched.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let PoolUse { idle, in_use, max, waiting, retries } = read();
            self.connections.with_label_values(&[store, "idle"]).set(number(idle));
            self.connections.with_label_values(&[store, "in_use"]).set(number(in_use));
            self.max_connections.with_label_values(&[store]).set(number(max));
            self.waiting.with_label_values(&[store]).set(number(waiting));
            for (outcome, count) in [("made", retries.made), ("refused", retries.refused)] {
                let counter = self.retries.with_label_values(&[store, outcome]);
                counter.inc_by(count.saturating_sub(counter.get()));
            }
        }
    }
}

/// Whether the keys could be read; one that nobody watches is not told to have failed.
struct KeysReading {
    successful: IntGauge,
    watched: Mutex<Option<Box<dyn Fn() -> bool + Send + Sync>>>,
}

impl KeysReading {
    fn new(make: &Maker<'_>) -> Self {
        let successful = make.gauge(&families::KEYS_LAST_RELOAD).with_label_values::<&str>(&[]);
        successful.set(1);
        Self { successful, watched: Mutex::default() }
    }

    fn read(&self) {
        if let Some(read) = self.watched.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            self.successful.set(i64::from(read()));
        }
    }
}
