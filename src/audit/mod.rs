//! The audit trail: events about accounts, sessions and keys.
//!
//! Each event is written to the log at once and to a table soon after. A bounded queue and a background task separate
//! requests from the table: if the queue is full, the event is in the log only, and a metric counts it.

mod batch;
mod trail;
mod writer;

pub use self::{
    trail::{EventQueue, FREE_LOG_TARGET, LOG_TARGET, Trail},
    writer::{Settings, WriterHandle, start},
};
