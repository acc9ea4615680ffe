//! HTTP: converts a request to the call of a use case, and its outcome to a response.
//!
//! [`routes`] is the table of all routes. [`Service`] responds to a request in the order of the steps of its `respond`.

mod admin_access;
mod admin_caller;
mod auth;
mod body;
mod client_ip;
mod common_headers;
mod context;
mod cors;
mod error;
mod extract;
mod field_errors;
mod fields;
mod forwarding;
#[cfg(any(fuzzing, clippy))]
#[doc(hidden)]
pub mod fuzzing;
mod handlers;
pub mod health_check;
mod login_addresses;
mod networks;
mod origin;
mod query;
mod readiness;
mod request_id;
mod request_log;
mod response;
mod router;
pub mod routes;
mod service;

pub use self::{
    admin_access::{AdminAccess, AdminListener},
    client_ip::{ForwardedClient, ForwardingProblem, TrustedProxies},
    context::{RequestLimits, RequestState, TokenCheckConfig, UseCases},
    cors::{AllowedHeaders, CorsPolicy},
    networks::{InvalidNetworks, Networks},
    origin::{Origin, Origins},
    readiness::Readiness,
    router::{MethodFilter, Router},
    service::{Admission, Service},
};
