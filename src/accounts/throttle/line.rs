//! Attempts that stand in line: at one account from one address, only so many are under way at once, so that those that
//! will succeed do not use up what may fail.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{passwords::Overloaded, store::Tag};

/// How many attempts of one line are under way at once: as many as may fail before there is a wait.
const AT_ONCE: usize = 10;

/// The lines that somebody stands in.
#[derive(Default)]
pub struct Lines(Arc<Mutex<ByTag>>);

type ByTag = HashMap<Tag, Weak<Semaphore>>;

/// The right to be under way.
pub struct Turn {
    /// How long it took to come.
    pub waited: Duration,
    // Dropped in this order: whoever leaves last takes the line along.
    _permit: OwnedSemaphorePermit,
    _line: Line,
}

impl Lines {
    /// Waits for a turn.
    ///
    /// # Errors
    /// Where that takes too long.
    pub async fn turn(&self, tag: Tag, max_wait: Duration) -> Result<Turn, Overloaded> {
        let (line, started) = (self.join(tag), Instant::now());
        let permit = timeout(max_wait, Arc::clone(&line.semaphore).acquire_owned()).await;
        let permit = permit.map_err(|_| Overloaded { wait: started.elapsed() })?;
        let permit = permit.unwrap_or_else(|_| unreachable!("the semaphore is never closed"));
        Ok(Turn { waited: started.elapsed(), _permit: permit, _line: line })
    }

    fn join(&self, tag: Tag) -> Line {
        let mut lines = lock(&self.0);
        let semaphore = lines.get(&tag).and_then(Weak::upgrade).unwrap_or_else(|| {
            let semaphore = Arc::new(Semaphore::new(AT_ONCE));
            lines.insert(tag, Arc::downgrade(&semaphore));
            semaphore
        });
        Line { tag, semaphore, lines: Arc::clone(&self.0) }
    }
}

/// A place in a line.
struct Line {
    tag: Tag,
    semaphore: Arc<Semaphore>,
    lines: Arc<Mutex<ByTag>>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut lines = lock(&self.lines);
        // Nobody joins meanwhile: that takes the lock.
        if Arc::strong_count(&self.semaphore) == 1 {
            lines.remove(&self.tag);
        }
    }
}

fn lock(lines: &Mutex<ByTag>) -> MutexGuard<'_, ByTag> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const TAG: Tag = Tag([1; 16]);

    #[tokio::test(start_paused = true)]
    async fn ten_are_under_way_at_once_and_the_next_one_waits_for_one_of_them() {
        let lines = Lines::default();
        let mut turns = Vec::new();
        for _ in 0..10 {
            turns.push(lines.turn(TAG, Duration::ZERO).await.expect("a turn"));
        }
        let mut eleventh = Box::pin(lines.turn(TAG, Duration::from_secs(2)));
        assert!(eleventh.as_mut().now_or_never().is_none());

        turns.pop();

        assert!(eleventh.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_waited_too_long_is_told_so_and_other_lines_go_on() {
        let lines = Lines::default();
        let mut turns = Vec::new();
        for _ in 0..10 {
            turns.push(lines.turn(TAG, Duration::ZERO).await.expect("a turn"));
        }

        assert!(lines.turn(TAG, Duration::from_secs(2)).await.is_err());
        assert!(lines.turn(Tag([2; 16]), Duration::ZERO).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_everybody_has_left_is_no_more() {
        let lines = Lines::default();
        let turns = [lines.turn(TAG, Duration::ZERO).await, lines.turn(TAG, Duration::ZERO).await];
        assert_eq!(lock(&lines.0).len(), 1);

        drop(turns);

        assert!(lock(&lines.0).is_empty());
    }
}
