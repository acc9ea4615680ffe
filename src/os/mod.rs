//! The operating system: control groups, directory locks, private files, process hardening, resource limits.

pub(crate) mod cgroup;
pub(crate) mod directory_lock;
mod hardening;
pub(crate) mod private_files;
mod rlimits;

pub use self::{hardening::forbid_memory_access, rlimits::raise_open_files_limit};
