//! Locks on directories, between processes.

use std::{
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// How long to wait for another process: longer than it takes to open a store or to change keys, unless a large store is
/// migrated.
const LOCK_TIMEOUT: Duration = Duration::from_mins(1);

/// How often to try.
const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// Locks a directory, and waits at most for a minute until other processes have unlocked it. The result holds the lock.
///
/// # Errors
/// Returns the error of the system, or [`io::ErrorKind::TimedOut`] after that minute.
pub fn lock_directory(directory: &Path) -> io::Result<fs::File> {
    lock_directory_within(LOCK_TIMEOUT, directory)
}

/// Polls, because a thread that waits for a file lock waits without a limit.
fn lock_directory_within(limit: Duration, directory: &Path) -> io::Result<fs::File> {
    let (file, deadline) = (fs::File::open(directory)?, Instant::now() + limit);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::Error(error)) => return Err(error),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => thread::park_timeout(LOCK_INTERVAL),
            Err(fs::TryLockError::WouldBlock) => {
                let message = format!("another process has not unlocked it within {} s", limit.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_that_another_keeps_is_given_up_in_time() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let lock = lock_directory(directory.path()).expect("a free lock");

        let error = lock_directory_within(Duration::from_millis(50), directory.path()).expect_err("it is locked");

        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(lock);
        assert!(lock_directory_within(Duration::ZERO, directory.path()).is_ok());
    }
}
