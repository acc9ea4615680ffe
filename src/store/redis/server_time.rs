//! An estimate of the time of the Redis server.

use std::time::Instant;

use parking_lot::Mutex;

use super::scripts::milliseconds;
use crate::store::TimeBudget;

/// The last known time of the Redis server, which gives a refresh a deadline on the server's clock.
///
/// A refresh that reaches the server after its caller has given up must take no effect: the client may have retried
/// already, and the late refresh would look like a reuse. A refresh that was sent before its caller hung up still takes
/// effect. If the server's clock is set back, late refreshes are accepted for as long, until the next response. If it
/// is set forward, or another server responds, the first refresh is tried twice.
#[derive(Default)]
pub(super) struct ServerTime(Mutex<Option<Observation>>);

/// A time of the server, in milliseconds since 1970, and when it was received.
#[derive(Clone, Copy)]
struct Observation {
    time_ms: u64,
    received: Instant,
}

impl ServerTime {
    pub(super) fn record(&self, time_ms: u64) {
        let observation = Observation { time_ms, received: Instant::now() };
        *self.0.lock() = Some(observation);
    }

    /// Returns the end of the time budget on the server's clock, in milliseconds since 1970, or 0 if the server's time
    /// is unknown. The result may be early but not late, because a time is received after the server read it.
    pub(super) fn deadline_ms(&self, time: &TimeBudget) -> u64 {
        let last = *self.0.lock();
        last.map_or(0, |last| last.time_ms.saturating_add(milliseconds(last.received.elapsed() + time.left())))
    }
}
