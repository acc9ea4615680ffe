//! Values that are reloaded when their files change.

mod reload;

#[cfg(test)]
pub(crate) use self::reload::RELOAD_TIMEOUT;
pub(crate) use self::reload::{ReloadEvent, ReloadSource, Reloading};
