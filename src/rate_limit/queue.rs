//! Attempts that stand in line: at one account from one address, only so many are under way at once, so that those that
//! will succeed do not use up what may fail.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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

type ByTag = HashMap<Tag, Members>;

/// Those who stand in a line or are under way.
struct Members {
    places: Arc<Semaphore>,
    count: usize,
}

impl Lines {
    /// Goes to the end of a line.
    pub fn join(&self, tag: Tag) -> Place {
        let mut lines = lock(&self.0);
        let members =
            lines.entry(tag).or_insert_with(|| Members { places: Arc::new(Semaphore::new(AT_ONCE)), count: 0 });
        let ahead = (members.count + 1).saturating_sub(AT_ONCE);
        members.count += 1;
        Place { ahead, places: Arc::clone(&members.places), tag, lines: Arc::clone(&self.0) }
    }
}

/// A place in a line, which is given up with it.
pub struct Place {
    /// How many others have to come to their end first, but for those who are under way all at once.
    pub ahead: usize,
    places: Arc<Semaphore>,
    tag: Tag,
    lines: Arc<Mutex<ByTag>>,
}

/// The right to be under way.
pub struct Turn {
    /// How long it took to come.
    pub waited: Duration,
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

impl Place {
    /// Waits for a turn.
    ///
    /// # Errors
    /// Where that takes too long.
    pub async fn turn(self, max_wait: Duration) -> Result<Turn, Overloaded> {
        let started = Instant::now();
        let permit = timeout(max_wait, Arc::clone(&self.places).acquire_owned()).await;
        let permit = permit.map_err(|_| Overloaded { wait: started.elapsed() })?;
        let permit = permit.unwrap_or_else(|_| unreachable!("the semaphore is never closed"));
        Ok(Turn { waited: started.elapsed(), _permit: permit, _place: self })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = lock(&self.lines);
        if let Entry::Occupied(mut members) = lines.entry(self.tag) {
            members.get_mut().count -= 1;
            if members.get().count == 0 {
                members.remove();
            }
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
            turns.push(lines.join(TAG).turn(Duration::ZERO).await.expect("a turn"));
        }
        let mut eleventh = Box::pin(lines.join(TAG).turn(Duration::from_secs(2)));
        assert!(eleventh.as_mut().now_or_never().is_none());

        turns.pop();

        assert!(eleventh.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_waited_too_long_is_told_so_and_other_lines_go_on() {
        let lines = Lines::default();
        let mut turns = Vec::new();
        for _ in 0..10 {
            turns.push(lines.join(TAG).turn(Duration::ZERO).await.expect("a turn"));
        }

        assert!(lines.join(TAG).turn(Duration::from_secs(2)).await.is_err());
        assert!(lines.join(Tag([2; 16])).turn(Duration::ZERO).await.is_ok());
    }

    #[test]
    fn whoever_joins_knows_how_many_are_ahead() {
        let lines = Lines::default();

        let places: Vec<_> = (0..12).map(|_| lines.join(TAG)).collect();

        assert_eq!(places.iter().map(|place| place.ahead).collect::<Vec<_>>()[8..], [0, 0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_everybody_has_left_is_no_more() {
        let lines = Lines::default();
        let turns = [lines.join(TAG).turn(Duration::ZERO).await, lines.join(TAG).turn(Duration::ZERO).await];
        assert_eq!(lock(&lines.0).len(), 1);

        drop(turns);

        assert!(lock(&lines.0).is_empty());
    }
}
