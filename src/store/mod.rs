//! The contracts of the stores, and the adapters that implement them.
//!
//! | adapter | users | sessions | attempts | audit events |
//! |---|---|---|---|---|
//! | [`sqlite`] | one SQLite file | the same file | | the same file |
//! | [`memory`] | | | memory | |
//! | [`postgres`] | PostgreSQL | | | PostgreSQL |
//! | [`redis`] | | Redis | Redis | |
//!
//! Absence is an `Option`, and an expected outcome is an enum. A [`StoreError`] means that something broke. Every adapter
//! passes the conformance suite in `tests/stores/suite.rs`.

mod attempts;
mod audit_events;
mod columns;
mod error;
mod health;
mod instrumented;
pub mod memory;
pub mod postgres;
mod reconnect;
pub mod redis;
mod retry_budget;
mod sessions;
pub mod sqlite;
mod time_budget;
mod url;
mod users;

pub use self::{
    attempts::{Attempts, Bucket, DEVICE_KNOWN_FOR, Level, Limit, Reservation, Tag},
    audit_events::AuditEvents,
    error::StoreError,
    health::Pong,
    instrumented::{counted_attempts, counted_sessions, counted_users},
    sessions::{LAST_USED_RESOLUTION, Opened, Refresh, RefreshAttempt, Sessions},
    time_budget::StoreTime,
    url::{StoreUrl, UrlFile, UrlFileError},
    users::{CompareAndSet, Edit, Insert, PasswordChange, Users},
};
