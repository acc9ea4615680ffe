//! Helpers of all Lua scripts.

use std::time::Duration;

use redis::Script;

/// Returns a script: `clock.lua`, the prelude of its kind, and its own text, in this order.
pub(super) fn script(prelude: &str, text: &str) -> Script {
    Script::new(&[include_str!("clock.lua"), prelude, text].concat())
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
