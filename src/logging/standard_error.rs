//! Standard error, written by a thread of its own.

use std::{
    fmt::Display,
    fs::File,
    io::{self, Write as _},
    os::fd::AsFd as _,
    sync::OnceLock,
    thread,
    time::Duration,
};

use super::{
    line_queue::{LineCounts, LineKind, LineQueue},
    line_writer::LineWriter,
};

/// How long the end of the process waits for the reader of standard error.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// The queue of this process. Static, because panics, errors and the log share it.
static QUEUE: OnceLock<&LineQueue> = OnceLock::new();

/// Starts the thread that writes to standard error. Called once, before anything else in this module.
///
/// # Errors
/// Returns the operating system's error if there is no file descriptor or no thread left.
pub fn open() -> io::Result<()> {
    // A descriptor of its own: the one of the standard library has a lock, which a blocked write would hold.
    let output = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let queue: &LineQueue = Box::leak(Box::new(LineQueue::new()));
    thread::Builder::new().name("log".to_owned()).spawn(|| LineWriter::new(queue, output).run())?;
    let _ = QUEUE.set(queue);
    Ok(())
}

/// Prints an error of the process as `postern: …`, whether the log has started or not. If nobody reads it within a second
/// of the end, it is lost, also if it is that of a command: its exit code says the same.
pub fn print_error(error: &impl Display) {
    print_lines(&format!("postern: {error}"));
}

/// Prints lines as they are.
pub fn print_lines(text: &str) {
    for line in text.lines() {
        add(LineKind::Server, format!("{line}\n").as_bytes());
    }
}

/// Adds a line, which ends with its only line feed.
pub(super) fn add(kind: LineKind, line: &[u8]) {
    match QUEUE.get() {
        Some(queue) => queue.add(kind, line),
        // Only in tests of the library, and if `open` fails.
        None => {
            let _ = io::stderr().write_all(line);
        }
    }
}

/// Returns how many lines were dropped since the start: they did not fit into the queue, or could not be written.
#[must_use]
pub fn dropped_lines() -> LineCounts {
    QUEUE.get().map(|queue| queue.dropped()).unwrap_or_default()
}

/// Waits until standard error has every line, at most for a second. The last step of a process.
pub fn finish() {
    if let Some(queue) = QUEUE.get() {
        queue.wait_until_written(FINISH_TIMEOUT);
    }
}
