//! The handlers, one file for each subject.

pub mod admin;
pub mod export;
pub mod forward_auth;
pub mod health;
pub mod introspection;
pub mod key_sets;
pub mod openapi;
pub mod passwords;
pub mod sessions;
pub mod users;
