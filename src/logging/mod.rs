//! The log, and everything else that is written to standard error.
//!
//! A line goes to a bounded queue (`line_queue`), and one thread writes the queue to standard error (`line_writer`). A reader
//! that stalls blocks that thread and nothing else: what does not fit is dropped and counted by its kind, and [`finish`]
//! waits for at most a second.
//!
//! `tracing-appender` does not fit: its queues bound lines, not bytes; two of them, so that requests cannot displace audit
//! events, would be two threads without a common order; each line is an allocation and a `write`; and if its queue is full
//! at exit, its guard prints to standard output, which may be stalled too.

mod format;
mod line_queue;
mod line_writer;
mod one_line;
mod request_lines;
mod standard_error;
mod subscriber;

pub use self::{
    format::LogFormat,
    line_queue::{LineCounts, LineKind, REQUEST_TARGET},
    request_lines::RequestLines,
    standard_error::{dropped_lines, finish, open, print_error, print_lines},
    subscriber::{report_panics, start, to_file},
};
