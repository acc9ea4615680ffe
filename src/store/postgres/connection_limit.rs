//! How many connections may be in use at once: as many as the pool may have, or for a while as many as PostgreSQL gives.

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

/// The most connections that a server opens. PostgreSQL allows 100 in all by default, and a statement takes well under a
/// millisecond: more connections than this do not answer more requests.
pub const MAX_CONNECTIONS: usize = 16;

/// How long a place stays closed: PostgreSQL, which had no connection left for it, is not asked again for so long.
const CLOSED_FOR: Duration = Duration::from_secs(10);

/// Places for connections that are in use.
pub struct ConnectionLimit {
    open: Arc<Semaphore>,
    closed: Arc<AtomicUsize>,
    waiting: AtomicUsize,
}

impl Default for ConnectionLimit {
    fn default() -> Self {
        Self { open: Arc::new(Semaphore::new(MAX_CONNECTIONS)), closed: Arc::default(), waiting: AtomicUsize::new(0) }
    }
}

impl ConnectionLimit {
    /// Waits for a place.
    pub async fn take(&self) -> OwnedSemaphorePermit {
        let _waiting = Waiting::among(&self.waiting);
        let slot = Arc::clone(&self.open).acquire_owned().await;
        slot.unwrap_or_else(|_| unreachable!("the semaphore is never closed"))
    }

    /// Closes a place for a while, unless it is the last one: whoever has it must forget it then.
    pub fn shrink(&self) -> bool {
        let count = |closed: usize| (closed + 1 < MAX_CONNECTIONS).then_some(closed + 1);
        let is_closed = self.closed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_ok();
        if is_closed {
            let (open, closed) = (Arc::clone(&self.open), Arc::clone(&self.closed));
            tokio::spawn(async move {
                sleep(jittered(CLOSED_FOR)).await;
                closed.fetch_sub(1, Ordering::Relaxed);
                open.add_permits(1);
            });
        }
        is_closed
    }

    /// How many wait for a place.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Somebody who waits, or does not any more.
struct Waiting<'count>(&'count AtomicUsize);

impl<'count> Waiting<'count> {
    fn among(count: &'count AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn places_that_were_closed_open_again_and_one_is_always_open() {
        let places = ConnectionLimit::default();
        let mut taken: Vec<_> = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            taken.push(places.take().await);
        }
        assert!(places.take().now_or_never().is_none());
        assert_eq!(places.waiting(), 0);

        let mut left = Vec::new();
        for slot in taken {
            if places.shrink() { slot.forget() } else { left.push(slot) }
        }
        assert_eq!(left.len(), 1);
        assert!(places.take().now_or_never().is_none());
        drop(left);
        let only = places.take().now_or_never().expect("one is open");

        sleep(2 * CLOSED_FOR).await;
        drop(only);
        let all: Vec<_> = (0..MAX_CONNECTIONS).filter_map(|_| places.take().now_or_never()).collect();
        assert_eq!(all.len(), MAX_CONNECTIONS);
        assert!(places.take().now_or_never().is_none(), "and no more than before");
    }
}
