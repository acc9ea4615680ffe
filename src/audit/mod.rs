//! The audit trail: what happens to accounts, sessions and keys, for whoever has to answer for it later.
//!
//! Each event is a line of the log at once, and a row of a table soon after: a bounded queue and a task of its own stand
//! between a request and the table. Where the queue is full the line in the log is all there is, and that is counted.

mod event;
mod trail;
mod writer;

pub use self::{
    event::{Event, EventId, EventKind, EventQuery, Origin, Subject},
    trail::{Pending, Trail},
    writer::{Settings, Writing, start},
};

/// The `target` of the log's lines about events: `telemetry` lets them through whatever the level of the log is.
pub const LOG_TARGET: &str = "audit";
