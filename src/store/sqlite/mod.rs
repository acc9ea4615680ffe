//! The embedded store, for a trial of Postern and for small sites: users, sessions and audit events in one SQLite file.
//!
//! The file is in WAL mode, and each commit waits for the disk (`synchronous=FULL`). One thread writes and another
//! reads, each with its own connection, so reads do not wait for the disk. `store.rs` describes how they work.

mod administrators;
mod audit;
mod backup;
mod data_dir;
mod error;
mod job;
mod schema;
mod session_uses;
mod sessions;
mod store;
#[cfg(test)]
mod tests;
mod user_admin;
mod user_directory;
mod user_import;
mod users;
mod worker;

pub use self::{
    data_dir::{DataDirectory, ServerLock},
    error::DataDirError,
    store::SqliteStore,
    user_import::SqliteUserImport,
};
