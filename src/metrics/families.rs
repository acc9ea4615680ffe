//! The table of metrics: names, by the conventions of Prometheus (its documentation, "Metric and label naming"), help texts
//! and label values.

use super::{
    family::{Family, Label, counter, described, gauge, histogram, listed},
    operations::OPERATIONS,
};

/// From a request without store calls to one that waits for a hash and for slow stores.
const REQUEST_BOUNDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// From a lookup on the same machine to the default store timeout.
const STORE_BOUNDS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];
/// From the cheapest hash to the slowest acceptable one.
const HASHING_BOUNDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const ROUTE: Label = described("route", "a path from the tables of endpoints; `-` for any other path");
const METHOD: Label = described("method", "a standard HTTP method; `other` for any other method");
const STATUS: Label = described("status", "the status code, for example `200`; `none` if no response was sent");
const LISTENER: Label = listed("listener", &["public", "operations"]);
const STORE: Label = described("store", "`PostgreSQL` or `Redis`; the embedded store has no pool");

/// The outcome of an operation that was dropped: the client disconnected, a deadline passed, or the operation panicked.
pub(super) const ABANDONED: &str = "abandoned";
/// The outcome of an operation without an error.
pub(super) const SUCCEEDED: &str = "succeeded";

pub(super) const REQUESTS: Family =
    counter("postern_http_requests_total", &[ROUTE, METHOD, STATUS], "Finished requests");
pub(super) const REQUEST_DURATION: Family = histogram(
    "postern_http_request_duration_seconds",
    REQUEST_BOUNDS,
    &[ROUTE, METHOD],
    "Time from the request head to the response",
);
pub(super) const REQUESTS_IN_FLIGHT: Family =
    gauge("postern_http_requests_in_flight", &[], "Requests without a response yet");
pub(super) const CONNECTIONS: Family = gauge("postern_http_connections", &[LISTENER], "Open connections");
pub(super) const CONNECTIONS_ACCEPTED: Family =
    counter("postern_http_connections_accepted_total", &[LISTENER], "Accepted connections");
pub(super) const FORWARDING_PROBLEMS: Family = counter(
    "postern_forwarding_problems_total",
    &[listed("problem", &["untrusted_peer", "missing_header", "only_forwarded", "invalid_header", "one_address"])],
    "Requests whose client may be hidden by a proxy; with `one_address`, windows of 100 logins, most of one address",
);

pub(super) const REQUEST_MEMORY: Family =
    gauge("postern_request_memory_bytes", &[], "Memory that connections and requests are charged for");
pub(super) const REQUEST_MEMORY_LIMIT: Family =
    gauge("postern_request_memory_limit_bytes", &[], "Limit of the memory of connections and requests");
pub(super) const ENDED_BODIES: Family = counter(
    "postern_request_bodies_ended_total",
    &[],
    "Incomplete request bodies that were ended because their memory or their connection slot was needed",
);
pub(super) const REQUEST_MEMORY_REJECTIONS: Family = counter(
    "postern_request_memory_rejections_total",
    &[listed("memory", &["connection", "request"])],
    "Connections closed and requests rejected because the memory of connections and requests was used up",
);

pub(super) const HASHING_THREADS: Family =
    gauge("postern_hashing_threads", &[], "Threads that hash and check passwords");
pub(super) const HASHING_QUEUE_DEPTH: Family =
    gauge("postern_hashing_queue_depth", &[], "Jobs that wait for a hashing thread");
pub(super) const HASHING_QUEUE_WAIT: Family =
    histogram("postern_hashing_queue_wait_seconds", HASHING_BOUNDS, &[], "Time that a job waited for a hashing thread");
pub(super) const HASHING_DURATION: Family = histogram(
    "postern_hashing_duration_seconds",
    HASHING_BOUNDS,
    &[listed("work", &["hash", "policy_check"])],
    "Time that a hashing thread took for a job",
);
pub(super) const HASH_MIN_DURATION: Family = gauge(
    "postern_hash_min_duration_seconds",
    &[],
    "Shortest hash with the current parameters: the time of undisturbed Argon2id; 0 before the first hash",
);
pub(super) const HASHING_REFUSALS: Family = counter(
    "postern_hashing_refusals_total",
    &[],
    "Jobs rejected because they would have waited, or had waited, too long",
);

pub(super) const IMPORTED_HASHING_QUEUE_DEPTH: Family =
    gauge("postern_imported_hashing_queue_depth", &[], "Jobs that wait for the thread for imported hashes");
pub(super) const IMPORTED_HASHING_QUEUE_WAIT: Family = histogram(
    "postern_imported_hashing_queue_wait_seconds",
    HASHING_BOUNDS,
    &[],
    "Time that a job waited for the thread for imported hashes",
);
pub(super) const IMPORTED_HASHING_DURATION: Family = histogram(
    "postern_imported_hashing_duration_seconds",
    HASHING_BOUNDS,
    &[],
    "Time of a comparison with an imported hash",
);
pub(super) const IMPORTED_HASHING_REFUSALS: Family = counter(
    "postern_imported_hashing_refusals_total",
    &[],
    "Jobs with imported hashes rejected because they would have waited, or had waited, too long",
);
pub(super) const IMPORTED_HASH_USERS: Family = gauge(
    "postern_imported_hash_users",
    &[],
    "Users whose password is still hashed as another program hashed it, read every 10 minutes",
);
pub(super) const IMPORTED_HASH_SHARE: Family =
    gauge("postern_imported_hash_share", &[], "The share of these users in all users, 0 to 1");

pub(super) const SIGN_UPS: Family = counter(
    "postern_sign_ups_total",
    &[listed(
        "outcome",
        &[
            SUCCEEDED,
            "email_taken",
            "too_many_attempts",
            "overloaded",
            "unavailable",
            "rejected",
            "misconfigured",
            "corrupt",
            ABANDONED,
        ],
    )],
    "Sign-ups with valid fields",
);
pub(super) const LOGINS: Family = counter(
    "postern_logins_total",
    &[listed(
        "outcome",
        &[
            SUCCEEDED,
            "invalid_credentials",
            "too_many_attempts",
            "overloaded",
            "unavailable",
            "rejected",
            "misconfigured",
            "corrupt",
            ABANDONED,
        ],
    )],
    "Logins",
);
pub(super) const RATE_LIMITED: Family = counter(
    "postern_rate_limited_total",
    &[listed(
        "limit",
        &[
            "account",
            "pair",
            "account_session",
            "address",
            "address_56",
            "address_48",
            "sign_up",
            "sign_up_56",
            "sign_up_48",
            "imported_hash",
            "imported_hash_56",
            "imported_hash_48",
            "export",
        ],
    )],
    "Attempts rejected after too many failures, and sign-ups and exports rejected after too many",
);
pub(super) const LOCAL_FALLBACK: Family = counter(
    "postern_rate_limit_local_fallback_total",
    &[],
    "Attempts counted by one server alone because Redis was unavailable",
);
pub(super) const RATE_LIMIT_OVERFLOW: Family = counter(
    "postern_rate_limit_overflow_total",
    &[],
    "Attempts at one counter, counted by one server alone because Redis held the maximum number of counters",
);
pub(super) const REFRESHES: Family = counter(
    "postern_refreshes_total",
    &[listed(
        "outcome",
        &[SUCCEEDED, "invalid_refresh_token", "unavailable", "rejected", "misconfigured", "corrupt", ABANDONED],
    )],
    "Refreshes",
);
pub(super) const REFRESH_TOKENS: Family = counter(
    "postern_refresh_tokens_total",
    &[listed("outcome", &["kept", "outdated", "next", "shared", "lost_response", "superseded", "reused", "rollback"])],
    "Refresh tokens presented for a valid session",
);
/// The outcomes of actions that a signed-in user confirms with the password.
const CONFIRMATION_OUTCOMES: &[&str] = &[
    SUCCEEDED,
    "wrong_password",
    "invalid_token",
    "too_many_attempts",
    "overloaded",
    "unavailable",
    "rejected",
    "misconfigured",
    "corrupt",
    ABANDONED,
];
pub(super) const PASSWORD_CHANGES: Family = counter(
    "postern_password_changes_total",
    &[listed("outcome", CONFIRMATION_OUTCOMES)],
    "Password changes with a valid new password",
);
pub(super) const EXPORTS: Family = counter(
    "postern_profile_exports_total",
    &[listed("outcome", CONFIRMATION_OUTCOMES)],
    "Exports of a user's own data, by the outcome of their confirmation with the password",
);
pub(super) const DEGRADED_VERIFICATIONS: Family = counter(
    "postern_degraded_verifications_total",
    &[],
    "Tokens that `/verify/` accepted without the session store, which was unavailable",
);
pub(super) const SESSIONS_OPENED: Family = counter(
    "postern_sessions_opened_total",
    &[listed("reason", &["sign_up", "login", "password_change"])],
    "Sessions opened",
);
pub(super) const SESSIONS_ENDED: Family = counter(
    "postern_sessions_ended_total",
    &[listed(
        "reason",
        &["logout", "ended_by_user", "logout_everywhere", "password_change", "account_deletion", "too_many", "reuse"],
    )],
    "Sessions that a request ended before they expired",
);

/// The outcomes of store calls: those of `StoreError::label`, and the two above.
pub(super) const CALL_OUTCOMES: &[&str] =
    &[SUCCEEDED, "unavailable", "rejected", "misconfigured", "corrupt", ABANDONED];

pub(super) const STORE_CALLS: Family =
    counter("postern_store_calls_total", &[OPERATION, listed("outcome", CALL_OUTCOMES)], "Store calls");
pub(super) const STORE_CALL_DURATION: Family = histogram(
    "postern_store_call_duration_seconds",
    STORE_BOUNDS,
    &[OPERATION],
    "Time of a store call, including the wait for a connection",
);
pub(super) const POOL_CONNECTIONS: Family = gauge(
    "postern_store_pool_connections",
    &[STORE, listed("state", &["idle", "in_use"])],
    "Connections to a store; Redis has one that all requests share, always in use",
);
pub(super) const POOL_MAX_CONNECTIONS: Family =
    gauge("postern_store_pool_max_connections", &[STORE], "Largest number of connections in the pool");
pub(super) const POOL_WAITING: Family =
    gauge("postern_store_pool_waiting", &[STORE], "Calls that wait for a connection");
pub(super) const STORE_RETRIES: Family = counter(
    "postern_store_retries_total",
    &[STORE, listed("outcome", &["allowed", "denied"])],
    "Retries of calls whose connection broke or whose prepared statement was stale: allowed, or denied beyond one in ten calls",
);

pub(super) const AUDIT_PENDING: Family =
    gauge("postern_audit_events_pending", &[], "Audit events not yet written to the table");
pub(super) const AUDIT_DROPPED: Family = counter(
    "postern_audit_events_dropped_total",
    &[listed("reason", &["queue_full", "flood", "rejected"])],
    "Audit events written to the log but not to the table",
);
pub(super) const AUDIT_TABLE_MISCONFIGURED: Family = gauge(
    "postern_audit_table_misconfigured",
    &[],
    "1 while the table accepts no audit events until an operator acts, for example because a privilege is missing",
);

pub(super) const LOG_LINES_DROPPED: Family = counter(
    "postern_log_lines_dropped_total",
    &[listed("kind", &["audit", "server", "request"])],
    "Log lines dropped because standard error was not read in time, or could not be written",
);

pub(super) const KEYS_LAST_RELOAD: Family = gauge(
    "postern_keys_last_reload_successful",
    &[],
    "The same as `postern_file_last_reload_successful{file=\"keys\"}`",
);
pub(super) const FILE_LAST_RELOAD: Family = gauge(
    "postern_file_last_reload_successful",
    &[listed("file", &["keys", "api_keys", "certificate", "database_url", "redis_url"])],
    "1 if the last reload of a file succeeded, or if there is no such file; 0 if it failed and the previous content stays in use",
);

pub(super) const BUILD_INFO: Family = gauge(
    "postern_build_info",
    &[
        described("version", "the version of the binary"),
        described("access_formats", "the access formats of the build, separated by commas"),
    ],
    "Always 1",
);

const OPERATION: Label = listed("operation", OPERATIONS);

/// Every metric except those of the process, in the order of `docs/metrics.md`.
pub const FAMILIES: &[&Family] = &[
    &REQUESTS,
    &REQUEST_DURATION,
    &REQUESTS_IN_FLIGHT,
    &CONNECTIONS,
    &CONNECTIONS_ACCEPTED,
    &FORWARDING_PROBLEMS,
    &REQUEST_MEMORY,
    &REQUEST_MEMORY_LIMIT,
    &ENDED_BODIES,
    &REQUEST_MEMORY_REJECTIONS,
    &HASHING_THREADS,
    &HASHING_QUEUE_DEPTH,
    &HASHING_QUEUE_WAIT,
    &HASHING_DURATION,
    &HASH_MIN_DURATION,
    &HASHING_REFUSALS,
    &IMPORTED_HASHING_QUEUE_DEPTH,
    &IMPORTED_HASHING_QUEUE_WAIT,
    &IMPORTED_HASHING_DURATION,
    &IMPORTED_HASHING_REFUSALS,
    &IMPORTED_HASH_USERS,
    &IMPORTED_HASH_SHARE,
    &SIGN_UPS,
    &LOGINS,
    &RATE_LIMITED,
    &LOCAL_FALLBACK,
    &RATE_LIMIT_OVERFLOW,
    &REFRESHES,
    &REFRESH_TOKENS,
    &PASSWORD_CHANGES,
    &EXPORTS,
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
    &LOG_LINES_DROPPED,
    &AUDIT_TABLE_MISCONFIGURED,
    &KEYS_LAST_RELOAD,
    &FILE_LAST_RELOAD,
    &BUILD_INFO,
];
