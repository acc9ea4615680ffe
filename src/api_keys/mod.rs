//! API keys of services, and what each key permits.
//!
//! A file lists the keys, one per line: the name of the API client, whitespace, the key, and optionally whitespace and the
//! scopes, separated by commas. Without scopes, a key has `introspect`. Empty lines and lines that start with `#` are
//! ignored. A client may have several keys, so that a key can be replaced without an interruption; each has its own scopes.

mod clients;
mod key_file;
mod scopes;

pub use self::{
    clients::{ApiClients, AuthorizedClient},
    key_file::{ApiClientName, ApiKeysError, LineFault},
    scopes::{InvalidScopes, Scope, Scopes},
};
