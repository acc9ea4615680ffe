//! The time of the server.

use std::time::Instant;

use parking_lot::Mutex;

use super::scripts::milliseconds;
use crate::store::TimeBudget;

/// What is known of the server's time: a refresh that reaches the server when nobody can wait for it any more must take no
/// effect, for its client may have gone on elsewhere, and would look like a thief. (What has been sent when a caller hangs
/// up before that is not called back.) Where the server's clock is put back, late ones count for as long, until it is next
/// heard of; where it is put forward, or another server answers, the first refresh is tried twice.
#[derive(Default)]
pub struct ServerTime(Mutex<Option<Heard>>);

/// What the server said, in milliseconds since 1970, and when that was heard.
#[derive(Clone, Copy)]
struct Heard {
    time_ms: u64,
    at: Instant,
}

impl ServerTime {
    pub(super) fn hear(&self, time_ms: u64) {
        let heard = Heard { time_ms, at: Instant::now() };
        *self.0.lock() = Some(heard);
    }

    /// Until when somebody waits who has this much time, in milliseconds since 1970 by the server's clock: rather too early
    /// than too late, since what was heard was said before. 0 where nothing has been heard.
    pub(super) fn not_after_ms(&self, time: &TimeBudget) -> u64 {
        let heard = *self.0.lock();
        heard.map_or(0, |heard| heard.time_ms.saturating_add(milliseconds(heard.at.elapsed() + time.left())))
    }
}
