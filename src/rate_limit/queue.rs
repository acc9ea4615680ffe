//! Bounds the attempts in progress: at one account from one address, and from one address.
//!
//! An attempt in progress is reserved as a failure. Without the bounds, parallel attempts with the correct password would
//! exceed the limits on failures.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{passwords::Overloaded, store::BucketKey};

/// How many attempts of one account and address run at once: as many as may fail before a delay.
const MAX_RUNNING: usize = 10;

/// How many attempts of one address run at once: a fifth of those that may fail before a delay, so that several servers,
/// or failures of others at the address, leave room for them. Most machines hash on fewer threads.
const MAX_RUNNING_OF_ADDRESS: usize = 20;

/// The attempts that run or wait, by key.
pub struct AttemptQueue {
    max_running: usize,
    queues: Arc<Mutex<QueuesByKey>>,
}

type QueuesByKey = HashMap<BucketKey, KeyQueue>;

/// The attempts of one key.
struct KeyQueue {
    permits: Arc<Semaphore>,
    /// Attempts that run or wait.
    attempts: usize,
}

impl AttemptQueue {
    /// Creates the queue of accounts, whose keys are those of an account and an address or a session.
    pub fn of_accounts() -> Self {
        Self { max_running: MAX_RUNNING, queues: Arc::default() }
    }

    /// Creates the queue of addresses.
    pub fn of_addresses() -> Self {
        Self { max_running: MAX_RUNNING_OF_ADDRESS, queues: Arc::default() }
    }

    /// Adds an attempt at the end of the queue of `key`.
    pub fn join(&self, key: BucketKey) -> QueueEntry {
        let mut queues = self.queues.lock();
        let queue = queues
            .entry(key)
            .or_insert_with(|| KeyQueue { permits: Arc::new(Semaphore::new(self.max_running)), attempts: 0 });
        queue.attempts += 1;
        let ahead = queue.attempts.saturating_sub(self.max_running);
        QueueEntry { ahead, permits: Arc::clone(&queue.permits), key, queues: Arc::clone(&self.queues) }
    }
}

/// An attempt in a queue. Dropping it removes the attempt.
pub struct QueueEntry {
    /// How many attempts must end before this one can run.
    pub ahead: usize,
    permits: Arc<Semaphore>,
    key: BucketKey,
    queues: Arc<Mutex<QueuesByKey>>,
}

/// Lets an attempt run until it is dropped.
pub struct Permit {
    /// How long the attempt waited.
    pub waited: Duration,
    _semaphore: OwnedSemaphorePermit,
    _entry: QueueEntry,
}

impl QueueEntry {
    /// Waits until the attempt can run, at most `max_wait`.
    ///
    /// # Errors
    /// Returns [`Overloaded`] if `max_wait` passes.
    pub async fn acquire(self, max_wait: Duration) -> Result<Permit, Overloaded> {
        let started = Instant::now();
        let permit = timeout(max_wait, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| Overloaded { wait: started.elapsed() })?;
        let permit = permit.unwrap_or_else(|_| unreachable!("the semaphore is never closed"));
        Ok(Permit { waited: started.elapsed(), _semaphore: permit, _entry: self })
    }
}

impl Drop for QueueEntry {
    fn drop(&mut self) {
        let mut queues = self.queues.lock();
        if let Entry::Occupied(mut queue) = queues.entry(self.key) {
            queue.get_mut().attempts -= 1;
            if queue.get().attempts == 0 {
                queue.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const KEY: BucketKey = BucketKey([1; 16]);

    async fn ten_permits(queue: &AttemptQueue) -> Vec<Permit> {
        let mut permits = Vec::new();
        for _ in 0..10 {
            permits.push(queue.join(KEY).acquire(Duration::ZERO).await.expect("a permit"));
        }
        permits
    }

    #[tokio::test(start_paused = true)]
    async fn eleventh_attempt_waits_for_one_of_ten() {
        let queue = AttemptQueue::of_accounts();
        let mut permits = ten_permits(&queue).await;
        let mut eleventh = Box::pin(queue.join(KEY).acquire(Duration::from_secs(2)));
        assert!(eleventh.as_mut().now_or_never().is_none());

        permits.pop();

        assert!(eleventh.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn wait_ends_in_time_and_other_keys_are_not_blocked() {
        let queue = AttemptQueue::of_accounts();
        let _permits = ten_permits(&queue).await;

        assert!(queue.join(KEY).acquire(Duration::from_secs(2)).await.is_err());
        assert!(queue.join(BucketKey([2; 16])).acquire(Duration::ZERO).await.is_ok());
    }

    #[test]
    fn twenty_attempts_of_an_address_run_at_once() {
        let queue = AttemptQueue::of_addresses();

        let entries: Vec<_> = (0..21).map(|_| queue.join(KEY)).collect();

        assert_eq!(entries.iter().map(|entry| entry.ahead).collect::<Vec<_>>()[18..], [0, 0, 1]);
    }

    #[test]
    fn entry_counts_attempts_ahead() {
        let queue = AttemptQueue::of_accounts();

        let entries: Vec<_> = (0..12).map(|_| queue.join(KEY)).collect();

        assert_eq!(entries.iter().map(|entry| entry.ahead).collect::<Vec<_>>()[8..], [0, 0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn queue_without_attempts_is_removed() {
        let queue = AttemptQueue::of_accounts();
        let permits = [queue.join(KEY).acquire(Duration::ZERO).await, queue.join(KEY).acquire(Duration::ZERO).await];
        assert_eq!(queue.queues.lock().len(), 1);

        drop(permits);

        assert!(queue.queues.lock().is_empty());
    }
}
