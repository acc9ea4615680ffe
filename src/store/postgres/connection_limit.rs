//! A limit on the connections in use, which shrinks for a while if PostgreSQL has no free slots.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use crate::clock::jittered;

/// The maximum number of connections of a server. PostgreSQL allows 100 in total by default, and a statement takes well
/// under a millisecond, so more connections would not raise the throughput.
pub(super) const MAX_CONNECTIONS: usize = 16;

/// How long a permit stays withdrawn after PostgreSQL has rejected a connection for lack of slots.
const SHRINK_DURATION: Duration = Duration::from_secs(10);

/// Permits for connections in use.
pub(super) struct ConnectionLimit {
    permits: Arc<Semaphore>,
    withdrawn: Arc<AtomicUsize>,
    waiting: AtomicUsize,
}

impl Default for ConnectionLimit {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            withdrawn: Arc::default(),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl ConnectionLimit {
    /// Waits for a permit.
    pub(super) async fn acquire(&self) -> OwnedSemaphorePermit {
        let _waiting = Counted::new(&self.waiting);
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.unwrap_or_else(|_| unreachable!("the semaphore is never closed"))
    }

    /// Withdraws a permit for a while, unless it is the last one. If it returns true, the caller must forget its own
    /// permit.
    pub(super) fn shrink(&self) -> bool {
        let increment = |withdrawn: usize| (withdrawn + 1 < MAX_CONNECTIONS).then_some(withdrawn + 1);
        let is_withdrawn = self.withdrawn.fetch_update(Ordering::Relaxed, Ordering::Relaxed, increment).is_ok();
        if is_withdrawn {
            let (permits, withdrawn) = (Arc::clone(&self.permits), Arc::clone(&self.withdrawn));
            tokio::spawn(async move {
                sleep(jittered(SHRINK_DURATION)).await;
                withdrawn.fetch_sub(1, Ordering::Relaxed);
                permits.add_permits(1);
            });
        }
        is_withdrawn
    }

    /// Returns the number of callers that wait for a permit.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// One of a count, until it is dropped.
pub(super) struct Counted<'count>(&'count AtomicUsize);

impl<'count> Counted<'count> {
    pub(super) fn new(count: &'count AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn withdrawn_permits_return_and_one_is_never_withdrawn() {
        let limit = ConnectionLimit::default();
        let mut permits: Vec<_> = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            permits.push(limit.acquire().await);
        }
        assert!(limit.acquire().now_or_never().is_none());
        assert_eq!(limit.waiting(), 0);

        let mut left = Vec::new();
        for permit in permits {
            if limit.shrink() { permit.forget() } else { left.push(permit) }
        }
        assert_eq!(left.len(), 1);
        assert!(limit.acquire().now_or_never().is_none());
        drop(left);
        let last = limit.acquire().now_or_never().expect("one permit is left");

        sleep(2 * SHRINK_DURATION).await;
        drop(last);
        let all: Vec<_> = (0..MAX_CONNECTIONS).filter_map(|_| limit.acquire().now_or_never()).collect();
        assert_eq!(all.len(), MAX_CONNECTIONS);
        assert!(limit.acquire().now_or_never().is_none(), "the limit is as before");
    }
}
