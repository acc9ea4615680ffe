//! The embedded store, for a trial of Postern and for small sites: users, sessions and audit events in one SQLite file.
//!
//! The file is in WAL mode, and each commit waits for the disk (`synchronous=FULL`). One thread writes and another
//! reads, each with its own connection, so reads do not wait for the disk. A job is one transaction on its thread: if
//! its caller is dropped, all of its effect or none takes place.

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
