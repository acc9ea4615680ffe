//! Values that are loaded from files and reloaded while the process runs.

mod value;

pub use self::value::FileWatch;
#[cfg(test)]
pub(crate) use self::value::RELOAD_TIMEOUT;
pub(crate) use self::value::{ReloadEvent, ReloadSource, Reloading};
