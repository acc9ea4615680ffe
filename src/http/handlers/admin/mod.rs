//! The handlers of the admin API, one file for each subject.

pub mod audit_events;
pub mod me;
mod page_memory;
mod parameters;
pub mod statistics;
pub mod user_deletion;
mod user_query;
pub mod user_sessions;
mod user_views;
pub mod users;
