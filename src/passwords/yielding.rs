//! Room for all else: while other requests come, one of the hashing threads rests.
//!
//! A lower priority is not enough where the stores are on the same processors. A kernel that groups processes, by session
//! or by cgroup, weighs groups and not threads, and then Redis and PostgreSQL wait for whoever hashes: with two threads on
//! two processors, p99 of signed-in requests was 54 times its value in quiet (98 ms), with one of them at rest
//! 1.5 times (2.8 ms), at three quarters of the hashes (`scripts/with-stores cargo bench --bench flood`).

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};

/// How long after the last of them other requests count as coming.
const REST: Duration = Duration::from_secs(1);

/// Whether a thread shall rest, and whether it does.
#[derive(Debug)]
pub struct ForegroundYield {
    is_enabled: AtomicBool,
    start: Instant,
    /// When somebody else wanted it last, in milliseconds from the start; 0 where nobody has.
    last_request_ms: AtomicU64,
    is_resting: AtomicBool,
    call: Sender<()>,
    calls: Receiver<()>,
}

impl Default for ForegroundYield {
    fn default() -> Self {
        let (call, calls) = bounded(1);
        Self {
            is_enabled: AtomicBool::new(false),
            start: Instant::now(),
            last_request_ms: AtomicU64::new(0),
            is_resting: AtomicBool::new(false),
            call,
            calls,
        }
    }
}

impl ForegroundYield {
    /// From now on, room is left.
    pub fn enable(&self) {
        self.is_enabled.store(true, Ordering::Relaxed);
    }

    /// Another request has come.
    pub fn notice_request(&self) {
        let now_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_request_ms.store(now_ms.max(1), Ordering::Relaxed);
        if self.is_enabled.load(Ordering::Relaxed) && !self.is_resting() {
            // It may have been called already.
            let _ = self.call.try_send(());
        }
    }

    /// Whether the thread rests now.
    pub fn is_resting(&self) -> bool {
        self.is_resting.load(Ordering::Relaxed)
    }

    /// What wakes the thread that waits for work, so that it rests instead.
    pub fn calls(&self) -> &Receiver<()> {
        &self.calls
    }

    /// Rests as long as other requests come.
    pub fn rest(&self) {
        while let Some(rest) = self.wanted_for() {
            self.is_resting.store(true, Ordering::Relaxed);
            thread::park_timeout(rest);
        }
        self.is_resting.store(false, Ordering::Relaxed);
    }

    fn wanted_for(&self) -> Option<Duration> {
        let wanted = Duration::from_millis(self.last_request_ms.load(Ordering::Relaxed));
        let is_wanted = self.is_enabled.load(Ordering::Relaxed) && !wanted.is_zero();
        let left = (wanted + REST).checked_sub(self.start.elapsed()).filter(|left| !left.is_zero());
        left.filter(|_| is_wanted)
    }
}
