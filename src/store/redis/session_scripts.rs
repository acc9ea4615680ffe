//! The Lua scripts of [`SessionStore`](crate::store::SessionStore).

use redis::Script;

use super::scripts::{
    SESSION_END, SESSION_LIST, SESSION_OPEN, SESSION_PING, SESSION_RECORD_AUTHENTICATION, SESSION_REFRESH,
    SESSION_REMOVE_ENDED,
};

/// One script for each operation.
pub(super) struct SessionScripts {
    pub(super) open: Script,
    pub(super) record_authentication: Script,
    pub(super) list: Script,
    pub(super) refresh: Script,
    pub(super) end: Script,
    pub(super) remove_ended: Script,
    pub(super) ping: Script,
}

impl SessionScripts {
    pub(super) fn new() -> Self {
        Self {
            open: SESSION_OPEN.script(),
            record_authentication: SESSION_RECORD_AUTHENTICATION.script(),
            list: SESSION_LIST.script(),
            refresh: SESSION_REFRESH.script(),
            end: SESSION_END.script(),
            remove_ended: SESSION_REMOVE_ENDED.script(),
            ping: SESSION_PING.script(),
        }
    }
}
