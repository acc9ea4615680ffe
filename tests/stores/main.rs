//! Every store passes one suite of sentences.

#![expect(clippy::duplicate_mod, reason = "the same sentences are compiled for each backend")]

#[path = "../support/mod.rs"]
mod support;

#[path = "."]
mod embedded {
    pub use crate::support::Embedded as Backend;
    mod administration;
    mod attempts;
    mod rotation;
    mod sessions;
    mod suite;
    mod users;
}

#[path = "."]
mod postgres_redis {
    pub use crate::support::PostgresRedis as Backend;
    mod administration;
    mod attempts;
    mod leftovers;
    mod private_redis;
    mod rotation;
    mod schema;
    mod sessions;
    mod suite;
    mod users;
}
