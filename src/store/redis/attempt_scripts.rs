//! The Lua scripts of [`AttemptStore`](crate::store::AttemptStore).

use redis::Script;

use super::scripts::script;

/// One script for each operation.
pub(super) struct AttemptScripts {
    pub(super) reserve: Script,
    pub(super) refund: Script,
    pub(super) clear: Script,
    pub(super) knows: Script,
    pub(super) knows_formerly: Script,
    pub(super) remember: Script,
}

impl AttemptScripts {
    pub(super) fn new() -> Self {
        let prelude = include_str!("attempt.lua");
        Self {
            reserve: script(prelude, include_str!("attempt.reserve.lua")),
            refund: script(prelude, include_str!("attempt.refund.lua")),
            clear: script(prelude, include_str!("attempt.clear.lua")),
            knows: script(prelude, include_str!("device.knows.lua")),
            knows_formerly: script(prelude, include_str!("device.knows_formerly.lua")),
            remember: script(prelude, include_str!("device.remember.lua")),
        }
    }
}
