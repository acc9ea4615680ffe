//! The embedded store: users, sessions and audit events in one SQLite file, for trying Postern and for small sites.
//!
//! The file is in WAL mode, and each commit waits for the disk (`synchronous=FULL`). One thread writes and another reads,
//! each with its own connection, so reads do not queue behind the disk. A job is one transaction on its thread: if its
//! caller goes away, all of it takes effect or nothing.

mod audit;
mod backup;
mod data_dir;
mod error;
mod schema;
mod sessions;
mod store;
mod users;

pub use self::{
    data_dir::{DataDirectory, ServerLock},
    error::DataDirError,
    store::SqliteStore,
};
