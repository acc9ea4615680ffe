//! Attempts that stand in line: at one account from one address, only so many are under way at once, so that those that
//! will succeed do not use up what may fail.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{passwords::Overloaded, store::BucketKey};

/// How many attempts of one line are under way at once: as many as may fail before there is a wait.
const AT_ONCE: usize = 10;

/// The lines that somebody stands in.
#[derive(Default)]
pub struct AttemptQueue(Arc<Mutex<ByTag>>);

type ByTag = HashMap<BucketKey, Waiters>;

/// Those who stand in a line or are under way.
struct Waiters {
    entries: Arc<Semaphore>,
    count: usize,
}

impl AttemptQueue {
    /// Goes to the end of a line.
    pub fn join(&self, key: BucketKey) -> QueueEntry {
        let mut queue = lock(&self.0);
        let members =
            queue.entry(key).or_insert_with(|| Waiters { entries: Arc::new(Semaphore::new(AT_ONCE)), count: 0 });
        let ahead = (members.count + 1).saturating_sub(AT_ONCE);
        members.count += 1;
        QueueEntry { ahead, entries: Arc::clone(&members.entries), key, queue: Arc::clone(&self.0) }
    }
}

/// A place in a line, which is given up with it.
pub struct QueueEntry {
    /// How many others have to come to their end first, but for those who are under way all at once.
    pub ahead: usize,
    entries: Arc<Semaphore>,
    key: BucketKey,
    queue: Arc<Mutex<ByTag>>,
}

/// The right to be under way.
pub struct Permit {
    /// How long it took to come.
    pub waited: Duration,
    _semaphore: OwnedSemaphorePermit,
    _entry: QueueEntry,
}

impl QueueEntry {
    /// Waits for a turn.
    ///
    /// # Errors
    /// Where that takes too long.
    pub async fn acquire(self, max_wait: Duration) -> Result<Permit, Overloaded> {
        let started = Instant::now();
        let permit = timeout(max_wait, Arc::clone(&self.entries).acquire_owned()).await;
        let permit = permit.map_err(|_| Overloaded { wait: started.elapsed() })?;
        let permit = permit.unwrap_or_else(|_| unreachable!("the semaphore is never closed"));
        Ok(Permit { waited: started.elapsed(), _semaphore: permit, _entry: self })
    }
}

impl Drop for QueueEntry {
    fn drop(&mut self) {
        let mut queue = lock(&self.queue);
        if let Entry::Occupied(mut members) = queue.entry(self.key) {
            members.get_mut().count -= 1;
            if members.get().count == 0 {
                members.remove();
            }
        }
    }
}

fn lock(queue: &Mutex<ByTag>) -> MutexGuard<'_, ByTag> {
    queue.lock()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const TAG: BucketKey = BucketKey([1; 16]);

    #[tokio::test(start_paused = true)]
    async fn ten_are_under_way_at_once_and_the_next_one_waits_for_one_of_them() {
        let queue = AttemptQueue::default();
        let mut turns = Vec::new();
        for _ in 0..10 {
            turns.push(queue.join(TAG).acquire(Duration::ZERO).await.expect("a turn"));
        }
        let mut eleventh = Box::pin(queue.join(TAG).acquire(Duration::from_secs(2)));
        assert!(eleventh.as_mut().now_or_never().is_none());

        turns.pop();

        assert!(eleventh.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_waited_too_long_is_told_so_and_other_lines_go_on() {
        let queue = AttemptQueue::default();
        let mut turns = Vec::new();
        for _ in 0..10 {
            turns.push(queue.join(TAG).acquire(Duration::ZERO).await.expect("a turn"));
        }

        assert!(queue.join(TAG).acquire(Duration::from_secs(2)).await.is_err());
        assert!(queue.join(BucketKey([2; 16])).acquire(Duration::ZERO).await.is_ok());
    }

    #[test]
    fn whoever_joins_knows_how_many_are_ahead() {
        let queue = AttemptQueue::default();

        let entries: Vec<_> = (0..12).map(|_| queue.join(TAG)).collect();

        assert_eq!(entries.iter().map(|entry| entry.ahead).collect::<Vec<_>>()[8..], [0, 0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_everybody_has_left_is_no_more() {
        let queue = AttemptQueue::default();
        let turns = [queue.join(TAG).acquire(Duration::ZERO).await, queue.join(TAG).acquire(Duration::ZERO).await];
        assert_eq!(lock(&queue.0).len(), 1);

        drop(turns);

        assert!(lock(&queue.0).is_empty());
    }
}
