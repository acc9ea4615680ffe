//! Pauses one hashing thread while requests arrive that need no hash.
//!
//! A lower thread priority is not enough if the stores run on the same processors. A kernel that groups processes, by
//! session or by cgroup, schedules groups before threads, so Redis and PostgreSQL wait behind the hashing threads. With two
//! threads on two processors, the 99th percentile of signed-in requests was 98 ms, 54 times that of a quiet server. With
//! one of them paused it was 2.8 ms, 1.5 times, at three quarters of the hashes
//! (`scripts/with-stores cargo bench --bench flood`).

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};

/// The time from the last request to the end of a pause.
const PAUSE: Duration = Duration::from_secs(1);

/// Tracks requests that need no hash, and pauses a thread while they arrive.
#[derive(Debug)]
pub struct ForegroundYield {
    is_enabled: AtomicBool,
    start: Instant,
    /// The time of the last request, in milliseconds since `start`; 0 before the first.
    last_request_ms: AtomicU64,
    is_paused: AtomicBool,
    wake_up: Sender<()>,
    wake_ups: Receiver<()>,
}

impl Default for ForegroundYield {
    fn default() -> Self {
        let (wake_up, wake_ups) = bounded(1);
        Self {
            is_enabled: AtomicBool::new(false),
            start: Instant::now(),
            last_request_ms: AtomicU64::new(0),
            is_paused: AtomicBool::new(false),
            wake_up,
            wake_ups,
        }
    }
}

impl ForegroundYield {
    /// Enables pauses, which are disabled at first.
    pub fn enable(&self) {
        self.is_enabled.store(true, Ordering::Relaxed);
    }

    /// Records the arrival of a request that needs no hash.
    pub fn notice_request(&self) {
        let now_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_request_ms.store(now_ms.max(1), Ordering::Relaxed);
        if self.is_enabled.load(Ordering::Relaxed) && !self.is_paused() {
            // A full channel holds a wake-up already.
            let _ = self.wake_up.try_send(());
        }
    }

    pub fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed)
    }

    /// Returns the channel that interrupts the thread's wait for a job, so that it pauses instead.
    pub fn wake_ups(&self) -> &Receiver<()> {
        &self.wake_ups
    }

    /// Blocks the thread until no request has arrived for [`PAUSE`].
    pub fn pause_while_requests_arrive(&self) {
        while let Some(remaining) = self.remaining_pause() {
            self.is_paused.store(true, Ordering::Relaxed);
            thread::park_timeout(remaining);
        }
        self.is_paused.store(false, Ordering::Relaxed);
    }

    fn remaining_pause(&self) -> Option<Duration> {
        let last_request = Duration::from_millis(self.last_request_ms.load(Ordering::Relaxed));
        if !self.is_enabled.load(Ordering::Relaxed) || last_request.is_zero() {
            return None;
        }
        (last_request + PAUSE).checked_sub(self.start.elapsed()).filter(|remaining| !remaining.is_zero())
    }
}
