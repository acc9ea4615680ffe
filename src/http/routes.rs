//! THE TABLE: what is served, to whom, and by which handler.
//!
//! The third column is a type: a handler that takes a `CurrentUser` does not compile beside `Anyone`, so the table
//! cannot lie about who may call what.

use hyper::Method;

use super::{
    auth::{Anyone, Operator, SignedIn, VouchedFor},
    handlers::{forward_auth, health, introspection, key_sets, openapi, passwords, sessions, users},
    router::{Allowed, Router, route},
};
use crate::tokens::{AccessFormat, KeySet};

/// The public API. Every path is served with and without its trailing slash.
#[must_use]
#[rustfmt::skip]
pub fn public() -> Router {
    let always = [
        //    method          path                        caller      handler
        route(Method::POST,   "/create-user/",            Anyone,     users::register),
        route(Method::POST,   "/token/",                  Anyone,     sessions::login),
        route(Method::POST,   "/refresh/",                Anyone,     sessions::refresh),
        route(Method::POST,   "/logout/",                 Anyone,     sessions::logout),
        route(Method::GET,    "/profile/",                SignedIn,   users::profile),
        route(Method::PATCH,  "/profile/",                SignedIn,   users::rename),
        route(Method::DELETE, "/profile/",                SignedIn,   users::delete),
        route(Method::POST,   "/change-password/",        SignedIn,   passwords::change),
        route(Method::GET,    "/sessions/",               SignedIn,   sessions::list),
        route(Method::DELETE, "/sessions/{id}/",          SignedIn,   sessions::end),
        route(Method::POST,   "/logout-everywhere/",      SignedIn,   sessions::logout_everywhere),
        route(Allowed::Any,   "/verify/",                 VouchedFor, forward_auth::verify),
        route(Allowed::Any,   "/verify/{*rest}",          VouchedFor, forward_auth::verify),
        route(Method::POST,   "/introspect/",             Operator,   introspection::introspect),
        route(Method::GET,    "/healthz",                 Anyone,     health::health),
        route(Method::GET,    "/openapi.json",            Anyone,     openapi::page),
        route(Method::GET,    "/.well-known/paserk.json", Anyone,     key_sets::paserk),
    ];
    // Where a format that is built in is checked by it.
    let jwks = route(Method::GET, "/.well-known/jwks.json", Anyone, key_sets::jwks);
    Router::new("public", always.into_iter().chain(AccessFormat::publishes(KeySet::Jwk).then_some(jwks)))
}

/// The operations listener, which the public never reaches.
#[must_use]
#[rustfmt::skip]
pub fn operations() -> Router {
    Router::new("operations", [
        route(Method::GET, "/livez",   Anyone, health::live),
        route(Method::GET, "/readyz",  Anyone, health::ready),
        route(Method::GET, "/metrics", Anyone, health::metrics),
    ])
}
