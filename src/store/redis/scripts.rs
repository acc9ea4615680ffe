//! What all scripts share.

use std::time::Duration;

use redis::Script;

/// A script, behind what every one of them begins with and what those of its kind begin with.
pub fn script(prelude: &str, text: &str) -> Script {
    Script::new(&[include_str!("clock.lua"), prelude, text].concat())
}

pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
