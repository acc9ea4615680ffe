//! Limits on failed attempts and on sign-ups.
//!
//! The limiter reserves each attempt before anything is hashed, as if it had failed, and releases it if it has not failed.
//! Parallel attempts therefore cannot exceed a limit. Attempts from a device that has logged in to the account before are
//! limited by the failures of that account and address alone, so failures from elsewhere cannot lock its owner out.

mod bucket_keys;
mod error;
mod limiter;
mod limits;
mod queue;
mod reservation;

pub use self::{
    error::RateLimited,
    limiter::{AttemptStores, AttemptSubject, LoginLimiter},
    limits::FAILURES_IN_A_ROW,
    queue::{Permit, QueueEntry},
    reservation::{AttemptOutcome, Reservation},
};
