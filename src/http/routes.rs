//! THE TABLE: what is served, to whom, and by which handler.
//!
//! The third column is a type: a handler that takes a `CurrentUser` does not compile beside `Anyone`, so the table
//! cannot lie about who may call what.

use hyper::Method;

use super::{
    access::{Anyone, Operator, SignedIn, VouchedFor},
    keys, openapi, ops, passwords,
    router::{Allowed, Router, route},
    sessions, users, vouch,
};
use crate::tokens::KeySet;

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
        route(Allowed::Any,   "/verify/",                 VouchedFor, vouch::verify),
        route(Allowed::Any,   "/verify/{*rest}",          VouchedFor, vouch::verify),
        route(Method::POST,   "/introspect/",             Operator,   vouch::introspect),
        route(Method::GET,    "/healthz",                 Anyone,     ops::health),
        route(Method::GET,    "/openapi.json",            Anyone,     openapi::page),
        route(Method::GET,    "/.well-known/paserk.json", Anyone,     keys::paserk),
    ];
    // Where a format that is built in is checked by it.
    let jwks = route(Method::GET, "/.well-known/jwks.json", Anyone, keys::jwks);
    Router::new("public", always.into_iter().chain(KeySet::Jwk.is_published().then_some(jwks)))
}

/// The operations listener, which the public never reaches.
#[must_use]
#[rustfmt::skip]
pub fn operations() -> Router {
    Router::new("operations", [
        route(Method::GET, "/livez",   Anyone, ops::live),
        route(Method::GET, "/readyz",  Anyone, ops::ready),
        route(Method::GET, "/metrics", Anyone, ops::metrics),
    ])
}
