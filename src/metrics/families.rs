//! THE TABLE of metrics: their names, by the conventions of Prometheus (its documentation, "Metric and label naming"),
//! and every value that their labels can have.

/// What is known of a metric.
#[derive(Debug)]
pub struct Family {
    /// Its name, with its unit.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// What it is told apart by.
    pub labels: &'static [Label],
    /// What it says, in one line.
    pub help: &'static str,
}

/// What a metric is.
#[derive(Debug)]
pub enum MetricKind {
    /// Grows, from zero at the start.
    Counter,
    /// A number of now.
    Gauge,
    /// Counts how many took how long; with the upper bounds of its buckets, in seconds.
    Histogram(&'static [f64]),
}

/// A label: its number of values is bounded, whatever clients send.
#[derive(Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it can be.
    pub values: LabelValues,
}

/// What a label can be.
#[derive(Debug)]
pub enum LabelValues {
    /// One of these; each is there from the start.
    Listed(&'static [&'static str]),
    /// Bounded by what is served; in words.
    Described(&'static str),
}

const fn counter(name: &'static str, labels: &'static [Label], help: &'static str) -> Family {
    Family { name, kind: MetricKind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [Label], help: &'static str) -> Family {
    Family { name, kind: MetricKind::Gauge, labels, help }
}

const fn histogram(name: &'static str, bounds: &'static [f64], labels: &'static [Label], help: &'static str) -> Family {
    Family { name, kind: MetricKind::Histogram(bounds), labels, help }
}

const fn listed(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: LabelValues::Listed(values) }
}

const fn described(name: &'static str, values: &'static str) -> Label {
    Label { name, values: LabelValues::Described(values) }
}

/// From a request that asks no store to one that waits for a hash and for stores that are slow.
const REQUEST_BOUNDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// From a lookup on the same machine to the default store timeout.
const STORE_BOUNDS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];
/// From the cheapest hash to the dearest that anybody would wait for.
const HASHING_BOUNDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const ROUTE: Label =
    described("route", "a path of the tables of endpoints, as it stands there; `-` for any other path");
const METHOD: Label = described("method", "one that HTTP knows; `other` for any other");
const STATUS: Label = described("status", "of the answer, as in `200`; `none` where the caller did not wait for it");
const LISTENER: Label = listed("listener", &["public", "operations"]);
const STORE: Label = described("store", "`PostgreSQL`, `Redis`; the embedded store has no pool");

/// What work counts as that was dropped: its caller has hung up, or its time was over.
pub const ABANDONED: &str = "abandoned";
/// What work counts as that did what it was asked for.
pub const SUCCEEDED: &str = "succeeded";

pub const REQUESTS: Family =
    counter("postern_http_requests_total", &[ROUTE, METHOD, STATUS], "Requests that have ended");
pub const REQUEST_DURATION: Family = histogram(
    "postern_http_request_duration_seconds",
    REQUEST_BOUNDS,
    &[ROUTE, METHOD],
    "Time from a request's head to its answer",
);
pub const REQUESTS_IN_FLIGHT: Family =
    gauge("postern_http_requests_in_flight", &[], "Requests that wait for their answer");
pub const CONNECTIONS: Family = gauge("postern_http_connections", &[LISTENER], "Connections that are open");
pub const CONNECTIONS_ACCEPTED: Family =
    counter("postern_http_connections_accepted_total", &[LISTENER], "Connections since the start");

pub const HASHING_THREADS: Family = gauge("postern_hashing_threads", &[], "Threads that hash and judge passwords");
pub const HASHING_QUEUE_DEPTH: Family =
    gauge("postern_hashing_queue_depth", &[], "Jobs that wait for a hashing thread");
pub const HASHING_QUEUE_WAIT: Family = histogram(
    "postern_hashing_queue_wait_seconds",
    HASHING_BOUNDS,
    &[],
    "Time that a job has waited for a hashing thread",
);
pub const HASHING_DURATION: Family = histogram(
    "postern_hashing_duration_seconds",
    HASHING_BOUNDS,
    &[listed("work", &["hash", "policy_check"])],
    "Time that a hashing thread has taken for a job",
);
pub const HASH_MIN_DURATION: Family = gauge(
    "postern_hash_min_duration_seconds",
    &[],
    "The least time that a hash by the present settings has taken, as the bare primitive takes it undisturbed; 0 before the first",
);
pub const HASHING_REFUSALS: Family =
    counter("postern_hashing_refusals_total", &[], "Jobs refused because they would have waited too long, or had");

pub const SIGN_UPS: Family = counter(
    "postern_sign_ups_total",
    &[listed(
        "outcome",
        &[SUCCEEDED, "email_taken", "too_many_attempts", "overloaded", "unavailable", "corrupt", ABANDONED],
    )],
    "Sign-ups with valid members",
);
pub const LOGINS: Family = counter(
    "postern_logins_total",
    &[listed(
        "outcome",
        &[SUCCEEDED, "invalid_credentials", "too_many_attempts", "overloaded", "unavailable", "corrupt", ABANDONED],
    )],
    "Logins",
);
pub const RATE_LIMITED: Family = counter(
    "postern_rate_limited_total",
    &[listed("limit", &["account", "pair", "address", "sign_up"])],
    "Attempts refused because too many had failed, or because there were too many sign-ups",
);
pub const LOCAL_FALLBACK: Family =
    counter("postern_rate_limit_local_fallback_total", &[], "Attempts that a server counted by itself: Redis was away");
pub const REFRESHES: Family = counter(
    "postern_refreshes_total",
    &[listed("outcome", &[SUCCEEDED, "invalid_refresh_token", "unavailable", "corrupt", ABANDONED])],
    "Refreshes",
);
pub const REFRESH_TOKENS: Family = counter(
    "postern_refresh_tokens_total",
    &[listed("outcome", &["kept", "outdated", "next", "shared", "lost_response", "superseded", "reused", "rollback"])],
    "Refresh tokens that a session in force was presented with",
);
pub const PASSWORD_CHANGES: Family = counter(
    "postern_password_changes_total",
    &[listed(
        "outcome",
        &[
            SUCCEEDED,
            "wrong_password",
            "invalid_token",
            "too_many_attempts",
            "overloaded",
            "unavailable",
            "corrupt",
            ABANDONED,
        ],
    )],
    "Password changes with a valid new password",
);
pub const DEGRADED_VERIFICATIONS: Family = counter(
    "postern_degraded_verifications_total",
    &[],
    "Tokens that `/verify/` has accepted for what they say, because the session store could not be reached",
);
pub const SESSIONS_OPENED: Family =
    counter("postern_sessions_opened_total", &[listed("reason", &["sign_up", "login"])], "Sessions opened");
pub const SESSIONS_ENDED: Family = counter(
    "postern_sessions_ended_total",
    &[listed(
        "reason",
        &["logout", "ended_by_user", "logout_everywhere", "password_change", "account_deletion", "too_many", "reuse"],
    )],
    "Sessions that a request has ended before they expired",
);

pub const STORE_CALLS: Family = counter(
    "postern_store_calls_total",
    &[OPERATION, listed("outcome", &[SUCCEEDED, "unavailable", "corrupt", ABANDONED])],
    "Calls to the stores",
);
pub const STORE_CALL_DURATION: Family = histogram(
    "postern_store_call_duration_seconds",
    STORE_BOUNDS,
    &[OPERATION],
    "Time that a call to a store has taken, with waiting for a connection",
);
pub const POOL_CONNECTIONS: Family = gauge(
    "postern_store_pool_connections",
    &[STORE, listed("state", &["idle", "in_use"])],
    "Connections to a store; Redis has one, which all requests share: always in use",
);
pub const POOL_MAX_CONNECTIONS: Family =
    gauge("postern_store_pool_max_connections", &[STORE], "The most connections that the pool opens");
pub const POOL_WAITING: Family = gauge("postern_store_pool_waiting", &[STORE], "Calls that wait for a connection");
pub const STORE_RETRIES: Family = counter(
    "postern_store_retries_total",
    &[STORE, listed("outcome", &["allowed", "denied"])],
    "Calls to be made once more because their connection broke: allowed, or denied beyond one in ten calls",
);

pub const AUDIT_PENDING: Family =
    gauge("postern_audit_events_pending", &[], "Audit events that wait to be written into the table");
pub const AUDIT_DROPPED: Family = counter(
    "postern_audit_events_dropped_total",
    &[listed("reason", &["queue_full", "flood"])],
    "Audit events that are in the log and not in the table",
);

pub const KEYS_LAST_RELOAD: Family = gauge(
    "postern_keys_last_reload_successful",
    &[],
    "1; 0 where the directory of the keys could not be used when it was last read, and the last good keys go on",
);

pub const BUILD_INFO: Family = gauge(
    "postern_build_info",
    &[described("version", "of this binary"), described("access_formats", "those that are built in, parted by commas")],
    "Always 1",
);

/// Every operation of the stores, as `metrics` and tests name it.
pub const OPERATIONS: &[&str] = &[
    "users.insert",
    "users.by_email",
    "users.by_id",
    "users.rehash",
    "users.change_password",
    "users.list",
    "users.update",
    "users.delete",
    "users.delete_verified",
    "users.end_all_sessions",
    "users.ping",
    "sessions.open",
    "sessions.touch",
    "sessions.list",
    "sessions.refresh",
    "sessions.end",
    "sessions.remove_ended",
    "sessions.ping",
    "attempts.reserve",
    "attempts.refund",
    "attempts.clear",
    "attempts.knows",
    "attempts.remember",
];
const OPERATION: Label = listed("operation", OPERATIONS);

/// Every metric of ours, in the order of the README.
pub const FAMILIES: &[&Family] = &[
    &REQUESTS,
    &REQUEST_DURATION,
    &REQUESTS_IN_FLIGHT,
    &CONNECTIONS,
    &CONNECTIONS_ACCEPTED,
    &HASHING_THREADS,
    &HASHING_QUEUE_DEPTH,
    &HASHING_QUEUE_WAIT,
    &HASHING_DURATION,
    &HASH_MIN_DURATION,
    &HASHING_REFUSALS,
    &SIGN_UPS,
    &LOGINS,
    &RATE_LIMITED,
    &LOCAL_FALLBACK,
    &REFRESHES,
    &REFRESH_TOKENS,
    &PASSWORD_CHANGES,
    &DEGRADED_VERIFICATIONS,
    &SESSIONS_OPENED,
    &SESSIONS_ENDED,
    &STORE_CALLS,
    &STORE_CALL_DURATION,
    &POOL_CONNECTIONS,
    &POOL_MAX_CONNECTIONS,
    &POOL_WAITING,
    &STORE_RETRIES,
    &AUDIT_PENDING,
    &AUDIT_DROPPED,
    &KEYS_LAST_RELOAD,
    &BUILD_INFO,
];
