//! The HTTP contract, over real sockets and on both backends.

#![expect(clippy::duplicate_mod, reason = "the same sentences are compiled for each backend")]

mod full_attempts;
mod session_rollback;
mod stalled_audit;
#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "each binary uses a part")]
mod support;
mod unread_log;

#[path = "."]
mod embedded {
    pub use crate::support::Embedded as Backend;
    pub type Service = crate::support::Service<Backend>;
    mod admin_callers;
    mod audit;
    mod authentication;
    mod common;
    mod connection_close;
    mod connections;
    mod connections_http2;
    mod content_codings;
    mod cors;
    mod fairness;
    mod faults;
    mod imported_hashes;
    mod key_rotation;
    mod keys;
    mod known_sessions;
    mod login;
    mod logout;
    mod metrics;
    mod openapi;
    mod password_and_sessions_change;
    mod password_change;
    mod probes;
    mod profile;
    mod profile_export;
    mod rate_limit;
    mod rate_limit_addresses;
    mod reauthentication;
    mod refresh;
    mod rotation;
    mod session_termination;
    mod sessions;
    mod settlement;
    mod sign_up;
    mod token_checks;
    mod user_admin;
}

#[path = "."]
mod postgres_redis {
    pub use crate::support::PostgresRedis as Backend;
    pub type Service = crate::support::Service<Backend>;
    mod admin_callers;
    mod audit;
    mod authentication;
    mod common;
    mod faults;
    mod imported_hashes;
    mod key_rotation;
    mod keys;
    mod known_sessions;
    mod login;
    mod logout;
    mod metrics;
    mod openapi;
    mod password_and_sessions_change;
    mod password_change;
    mod probes;
    mod profile;
    mod profile_export;
    mod rate_limit;
    mod rate_limit_addresses;
    mod reauthentication;
    mod refresh;
    mod rotation;
    mod session_termination;
    mod sessions;
    mod settlement;
    mod sign_up;
    mod stored_secrets;
    mod token_checks;
    mod user_admin;
}
