//! The Lua scripts of [`SessionStore`](crate::store::SessionStore).

use redis::Script;

use super::scripts::script;

/// One script for each operation.
pub(super) struct SessionScripts {
    pub(super) open: Script,
    pub(super) touch: Script,
    pub(super) record_use: Script,
    pub(super) list: Script,
    pub(super) refresh: Script,
    pub(super) end: Script,
    pub(super) remove_ended: Script,
    pub(super) ping: Script,
}

impl SessionScripts {
    pub(super) fn new() -> Self {
        let prelude = include_str!("session.lua");
        Self {
            open: script(prelude, include_str!("session.open.lua")),
            touch: script(prelude, include_str!("session.touch.lua")),
            record_use: script(prelude, include_str!("session.record_use.lua")),
            list: script(prelude, include_str!("session.list.lua")),
            refresh: script(prelude, include_str!("session.refresh.lua")),
            end: script(prelude, include_str!("session.end.lua")),
            remove_ended: script(prelude, include_str!("session.remove_ended.lua")),
            ping: script(prelude, include_str!("session.ping.lua")),
        }
    }
}
