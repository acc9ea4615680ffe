//! HTTP: from a request to a use case, and from its outcome to an answer.
//!
//! [`routes`] is the table of what is served; [`Service`] answers a request in the order of the lines of its `answer`.

mod access;
mod body;
mod cors;
mod forwarded;
#[cfg(any(fuzzing, clippy))]
#[doc(hidden)]
pub mod fuzzing;
mod input;
mod keys;
mod openapi;
mod ops;
mod output;
mod passwords;
mod problem;
mod router;
pub mod routes;
mod service;
mod sessions;
mod users;
mod vouch;

pub use self::{
    cors::{Origin, Origins},
    forwarded::TrustedProxies,
    ops::Readiness,
    problem::BadHead,
    router::{Allowed, Router},
    service::{RequestLimits, Service},
    vouch::Vouching,
};
