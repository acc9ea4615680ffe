//! The sources of all Lua scripts.

use std::time::Duration;

use redis::Script;

/// The prelude of all scripts.
const CLOCK: &str = include_str!("clock.lua");

const SESSION: &str = include_str!("session.lua");
const ATTEMPT: &str = include_str!("attempt.lua");

/// Declares a constant for each script, and the list of all.
macro_rules! sources {
    ($($constant:ident: $prelude:ident, $text:expr;)*) => {
        $(pub(super) const $constant: Source = Source { prelude: $prelude, text: $text };)*

        /// Every script.
        pub(super) const SOURCES: &[Source] = &[$($constant),*];
    };
}

sources! {
    SESSION_OPEN: SESSION, include_str!("session.open.lua");
    SESSION_LIST: SESSION, include_str!("session.list.lua");
    SESSION_REFRESH: SESSION, include_str!("session.refresh.lua");
    SESSION_END: SESSION, include_str!("session.end.lua");
    SESSION_REMOVE_ENDED: SESSION, include_str!("session.remove_ended.lua");
    SESSION_PING: SESSION, include_str!("session.ping.lua");
    SESSION_CHECK_PRIMARY: SESSION, include_str!("session.check_primary.lua");
    SESSION_RECORD_USE: SESSION, include_str!("session.record_use.lua");
    SESSION_RECORD_AUTHENTICATION: SESSION, include_str!("session.record_authentication.lua");
    ATTEMPT_RESERVE: ATTEMPT, include_str!("attempt.reserve.lua");
    ATTEMPT_REFUND: ATTEMPT, include_str!("attempt.refund.lua");
    ATTEMPT_CLEAR: ATTEMPT, include_str!("attempt.clear.lua");
    DEVICE_KNOWS: ATTEMPT, include_str!("device.knows.lua");
    DEVICE_KNOWS_FORMERLY: ATTEMPT, include_str!("device.knows_formerly.lua");
    DEVICE_REMEMBER: ATTEMPT, include_str!("device.remember.lua");
}

/// The source of a script: `clock.lua`, the prelude of its kind, and its own text, in this order.
pub(super) struct Source {
    prelude: &'static str,
    text: &'static str,
}

impl Source {
    pub(super) fn script(&self) -> Script {
        Script::new(&self.code())
    }

    /// Returns the name of the script, with which its own text begins.
    pub(super) fn name(&self) -> &'static str {
        let name = self.text.strip_prefix("-- ").and_then(|text| text.split(':').next());
        name.unwrap_or_else(|| unreachable!("a script begins with its name"))
    }

    /// Returns the Redis command in a line of the script, counted from 1.
    pub(super) fn command_in_line(&self, line: usize) -> Option<String> {
        let code = self.code();
        let (_, call) = code.lines().nth(line.checked_sub(1)?)?.split_once("call('")?;
        call.split_once('\'').map(|(command, _)| command.to_owned())
    }

    pub(super) fn code(&self) -> String {
        [CLOCK, self.prelude, self.text].concat()
    }
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
