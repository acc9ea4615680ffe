//! The operating system: control groups, directory locks, text files, private files, PEM files, process hardening, resource
//! limits.

pub(crate) mod cgroup;
pub(crate) mod directory_lock;
mod hardening;
pub(crate) mod pem;
pub(crate) mod private_files;
mod rlimits;
pub(crate) mod same_file;
pub(crate) mod text_files;

pub use self::{hardening::forbid_memory_access, rlimits::raise_open_files_limit};
