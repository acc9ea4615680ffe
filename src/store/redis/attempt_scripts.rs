//! The Lua scripts of [`AttemptStore`](crate::store::AttemptStore).

use redis::Script;

use super::scripts::{
    ATTEMPT_CLEAR, ATTEMPT_REFUND, ATTEMPT_RESERVE, DEVICE_KNOWS, DEVICE_KNOWS_FORMERLY, DEVICE_REMEMBER,
};

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
        Self {
            reserve: ATTEMPT_RESERVE.script(),
            refund: ATTEMPT_REFUND.script(),
            clear: ATTEMPT_CLEAR.script(),
            knows: DEVICE_KNOWS.script(),
            knows_formerly: DEVICE_KNOWS_FORMERLY.script(),
            remember: DEVICE_REMEMBER.script(),
        }
    }
}
