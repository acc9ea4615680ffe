//! The route table: method, path, required authentication and handler of every endpoint.
//!
//! The third column is a type. A handler that takes a `CurrentUser` does not compile with `Public`, so the table always
//! shows the authentication that a handler really has.

use hyper::Method;

use super::{
    admin_caller::{AdminReader, AdminWriter},
    auth::{ApiClient, ForwardAuth, Public, SignedIn},
    handlers::{admin, export, forward_auth, health, introspection, key_sets, openapi, passwords, sessions, users},
    router::{MethodFilter, Route, Router, route},
};
use crate::tokens::{AccessFormat, KeySetFormat};

/// The beginning of every path of the admin API.
pub const ADMIN_API: &str = "/admin/api/";

/// Returns the routes of the public API. Each path is served with and without a trailing slash.
#[must_use]
#[rustfmt::skip]
pub fn public() -> Router {
    let always = [
        //    method             path                        caller       handler
        route(Method::POST,      "/create-user/",            Public,      users::sign_up),
        route(Method::POST,      "/token/",                  Public,      sessions::login),
        route(Method::POST,      "/refresh/",                Public,      sessions::refresh),
        route(Method::POST,      "/logout/",                 Public,      sessions::logout),
        route(Method::GET,       "/profile/",                SignedIn,    users::profile),
        route(Method::PATCH,     "/profile/",                SignedIn,    users::rename),
        route(Method::DELETE,    "/profile/",                SignedIn,    users::delete),
        route(Method::POST,      "/profile/export/",         SignedIn,    export::export),
        route(Method::POST,      "/change-password/",        SignedIn,    passwords::change),
        route(Method::POST,      "/reauthenticate/",         SignedIn,    sessions::reauthenticate),
        route(Method::GET,       "/sessions/",               SignedIn,    sessions::list),
        route(Method::DELETE,    "/sessions/{id}/",          SignedIn,    sessions::end),
        route(Method::POST,      "/logout-everywhere/",      SignedIn,    sessions::logout_everywhere),
        route(MethodFilter::Any, "/verify/",                 ForwardAuth, forward_auth::verify),
        route(MethodFilter::Any, "/verify/{*rest}",          ForwardAuth, forward_auth::verify),
        route(Method::POST,      "/introspect/",             ApiClient,   introspection::introspect),
        route(Method::GET,       "/healthz",                 Public,      health::health),
        route(Method::GET,       "/openapi.json",            Public,      openapi::document),
        route(Method::GET,       "/.well-known/paserk.json", Public,      key_sets::paserk),
    ];
    // Served only if a token format is compiled in that needs a JWK Set.
    let jwks = route(Method::GET, "/.well-known/jwks.json", Public, key_sets::jwks);
    Router::new("public", always.into_iter().chain(AccessFormat::publishes(KeySetFormat::Jwk).then_some(jwks)))
}

/// Returns the routes of the operations listener, which must not be exposed to the public.
#[must_use]
#[rustfmt::skip]
pub fn operations() -> Router {
    Router::new("operations", [
        route(Method::GET, "/livez",   Public, health::live),
        route(Method::GET, "/readyz",  Public, health::ready),
        route(Method::GET, "/metrics", Public, health::metrics),
    ])
}

/// Returns the routes of the admin API, which are added to those of one listener. Every path begins with [`ADMIN_API`].
#[must_use]
#[rustfmt::skip]
pub fn admin() -> Vec<Route> {
    vec![
        //    method          path                                       caller       handler
        route(Method::GET,    "/admin/api/me/",                          AdminReader, admin::me::me),
        route(Method::GET,    "/admin/api/users/",                       AdminReader, admin::users::list),
        route(Method::POST,   "/admin/api/users/",                       AdminWriter, admin::users::create),
        route(Method::POST,   "/admin/api/users/delete/",                AdminWriter, admin::user_deletion::delete_several),
        route(Method::GET,    "/admin/api/users/{id}/",                  AdminReader, admin::users::show),
        route(Method::PATCH,  "/admin/api/users/{id}/",                  AdminWriter, admin::users::edit),
        route(Method::DELETE, "/admin/api/users/{id}/",                  AdminWriter, admin::user_deletion::delete),
        route(Method::PUT,    "/admin/api/users/{id}/password/",         AdminWriter, admin::users::set_password),
        route(Method::DELETE, "/admin/api/users/{id}/password/",         AdminWriter, admin::users::disable_password),
        route(Method::GET,    "/admin/api/users/{id}/sessions/",         AdminReader, admin::user_sessions::list),
        route(Method::DELETE, "/admin/api/users/{id}/sessions/",         AdminWriter, admin::user_sessions::end_all),
        route(Method::DELETE, "/admin/api/users/{id}/sessions/{session}/", AdminWriter, admin::user_sessions::end),
        route(Method::GET,    "/admin/api/audit-events/",                AdminReader, admin::audit_events::list),
        route(Method::GET,    "/admin/api/statistics/",                  AdminReader, admin::statistics::show),
    ]
}
