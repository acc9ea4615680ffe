//! The HTTP contract, sentence by sentence, over real sockets and on both backends.

#![expect(clippy::duplicate_mod, reason = "the same sentences are compiled for each backend")]

#[path = "../support/asking.rs"]
mod asking;
#[path = "../support/commands.rs"]
mod commands;
mod counting;
mod failures;
mod forgetful;
mod held;
#[path = "../support/memory.rs"]
mod memory;
#[path = "../support/page.rs"]
mod page;
mod person;
#[path = "../support/private_postgres.rs"]
mod private_postgres;
#[path = "../support/private_redis.rs"]
mod private_redis;
mod process;
#[path = "../support/program.rs"]
mod program;
mod proxy;
#[path = "../support/relay.rs"]
mod relay;
#[path = "../support/reverse_proxy.rs"]
mod reverse_proxy;
mod service;
#[path = "../support/mod.rs"]
mod support;

#[path = "."]
mod embedded {
    pub use crate::support::Embedded as Backend;
    pub type Service = crate::service::Service<Backend>;
    mod audit;
    mod authentication;
    mod connections;
    mod cors;
    mod endings;
    mod everywhere;
    mod faults;
    mod key_rotation;
    mod keys;
    mod leaving;
    mod login;
    mod logout;
    mod metrics;
    mod openapi;
    mod password_change;
    mod probes;
    mod profile;
    mod refresh;
    mod rotation;
    mod sessions;
    mod sign_up;
    mod throttle;
    mod vouch;
}

#[path = "."]
mod postgres_redis {
    pub use crate::support::PostgresRedis as Backend;
    pub type Service = crate::service::Service<Backend>;
    mod audit;
    mod authentication;
    mod endings;
    mod everywhere;
    mod faults;
    mod key_rotation;
    mod keys;
    mod login;
    mod logout;
    mod metrics;
    mod nothing_stored;
    mod openapi;
    mod outages;
    mod password_change;
    mod probes;
    mod profile;
    mod refresh;
    mod rotation;
    mod sessions;
    mod sign_up;
    mod throttle;
    mod vouch;
}
