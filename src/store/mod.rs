//! The contracts of the stores, and the adapters that implement them.
//!
//! | adapter | users | sessions | attempts | audit events |
//! |---|---|---|---|---|
//! | [`sqlite`] | one SQLite file | the same file | | the same file |
//! | [`memory`] | | | memory | |
//! | [`postgres`] | PostgreSQL | | | PostgreSQL |
//! | [`redis`] | | Redis | Redis | |
//!
//! Absence is an `Option`, and an expected outcome is an enum. A [`StoreError`] means that something broke, and says whether
//! a retry may succeed. Every adapter passes the conformance suite in `tests/stores/suite.rs`.

mod attempts;
mod audit_events;
mod batch;
mod columns;
mod error;
mod expiring_map;
mod health;
mod instrumented;
pub mod memory;
mod page_scan;
pub mod postgres;
mod reconnect;
pub mod redis;
mod retry_budget;
mod sessions;
pub mod sqlite;
mod time_budget;
mod tls;
mod url;
mod url_parts;
mod user_admin;
mod user_directory;
mod user_import;
mod users;

pub use self::{
    attempts::{
        AttemptStore, Bucket, BucketKey, DEVICE_KNOWN_FOR, Device, GcraState, Limit, MAX_DEVICES, ReserveOutcome,
    },
    audit_events::{AuditReader, AuditStore, read_events},
    error::StoreError,
    health::StoreHealth,
    instrumented::{
        instrumented_attempts, instrumented_audit_reader, instrumented_directory, instrumented_sessions,
        instrumented_user_admin, instrumented_users,
    },
    sessions::{LAST_USED_RESOLUTION, OTHER_EPOCH_GRACE, Opened, Refresh, RefreshAttempt, SessionStore},
    time_budget::TimeBudget,
    tls::{ClientCertificateFiles, PemFault, StoreTls, StoreTlsError, StoreTlsFiles, StoreTlsRole},
    url::{StoreUrl, UrlFile, UrlFileError},
    user_admin::{AdminTarget, AdminWrite, ChangedUser, DeletionMode, UserAdminStore, UserDeletion},
    user_directory::{MAX_EXAMINED, UserDirectory},
    user_import::{DecidedUser, ImportDecision, MergedBatch, StagedUser, UserImport},
    users::{CompareAndSet, ImportedHashStats, Insert, OwnDeletion, PasswordChange, UserStore, UserUpdate},
};
