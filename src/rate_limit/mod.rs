//! Limits on failed logins, on sign-ups and on exports.
//!
//! A login or a sign-up is an attempt. The limiter reserves each attempt as a failure before a password is hashed, and
//! refunds it if it does not fail, so parallel attempts cannot exceed a limit. The limits are in `limits.rs`.
//!
//! An attempt from a device that has logged in to the account before counts only against the limit of that account and
//! address, so failures from elsewhere cannot lock the owner out.

mod administrator;
mod bucket_keys;
mod error;
mod limiter;
mod limits;
mod overflow;
mod queue;
mod reservation;

pub use self::{
    administrator::administrator_permit,
    error::RateLimited,
    limiter::{AttemptStores, LoginLimiter},
};
pub(crate) use self::{
    limiter::AttemptSubject,
    queue::Permit,
    reservation::{AttemptOutcome, Reservation},
};
