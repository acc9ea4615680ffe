//! The operating system: control groups, private files, process hardening, resource limits.

pub(crate) mod cgroup;
mod hardening;
pub(crate) mod private_files;
mod rlimits;

pub use self::{hardening::forbid_memory_access, rlimits::raise_open_files_limit};
