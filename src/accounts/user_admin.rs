//! Administration of users, by the admin API and by the command line.

mod deletion;
mod error;
mod reading;
mod service;
mod sessions;
mod user_ref;

pub use self::{
    deletion::DeletedUsers,
    error::UserAdminError,
    reading::HourOfStatistics,
    service::{AdminCall, EditedUser, NewUser, UserAdmin, UserEdit},
    user_ref::{InvalidUserRef, UserRef},
};
