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
use crate::model::{ControlEscape, escape_control};

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
    let _ = QUEUE.set(start_writer(io::stderr().as_fd().try_clone_to_owned()?.into())?);
    Ok(())
}

/// Starts a thread that writes to a file for as long as the process runs, and returns its queue.
pub(super) fn start_writer(output: File) -> io::Result<&'static LineQueue> {
    let queue: &LineQueue = Box::leak(Box::new(LineQueue::new()));
    thread::Builder::new().name("log".to_owned()).spawn(|| LineWriter::new(queue, output).run())?;
    Ok(queue)
}

/// Returns the queue of this process.
pub(super) fn queue() -> &'static LineQueue {
    QUEUE.get().unwrap_or_else(|| unreachable!("standard error is opened first"))
}

/// Prints an error of the process as `postern: …`, whether the log has started or not. If nobody has read the error a second
/// after the end of the server or command, it is lost, and only the exit code reports the failure.
pub fn print_error(error: &impl Display) {
    print_lines(&escape_control(&format!("postern: {error}"), ControlEscape::Rust));
}

/// Prints lines, with their control characters escaped.
pub fn print_lines(text: &str) {
    for line in text.lines().map(|line| format!("{}\n", escape_control(line, ControlEscape::Rust))) {
        match QUEUE.get() {
            Some(queue) => queue.add(LineKind::Server, line.as_bytes()),
            // Only in tests of the library, and if `open` fails.
            None => drop(io::stderr().write_all(line.as_bytes())),
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
