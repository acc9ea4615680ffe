//! HTTP: from a request to a use case, and from its outcome to a response.
//!
//! [`routes`] is the table of all routes; [`Service`] responds to a request in the order of the lines of its `answer`.

mod auth;
mod body;
mod client_ip;
mod context;
mod cors;
mod error;
mod extract;
#[cfg(any(fuzzing, clippy))]
#[doc(hidden)]
pub mod fuzzing;
mod handlers;
mod readiness;
mod request_log;
mod response;
mod router;
pub mod routes;
mod service;

pub use self::{
    client_ip::TrustedProxies,
    context::{RequestLimits, TokenCheckConfig},
    cors::{Origin, Origins},
    error::HeadError,
    readiness::Readiness,
    router::{MethodFilter, Router},
    service::Service,
};
