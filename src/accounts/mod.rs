//! The use cases, a file each.
//!
//! Each use case has one deciding write, which its documentation names. Writes before it are worthless without it and
//! expire; writes after it are optional. A request can therefore be dropped at any point.

mod attempts;
mod authenticate;
mod call_context;
mod change_password;
mod error;
mod imported_hashes;
mod introspection;
mod login;
mod logout;
mod profile;
mod profile_export;
mod reauthentication;
mod refresh;
mod renew_authentication;
mod service;
mod sessions;
mod sign_up;
mod user_admin;

pub use self::{
    authenticate::CurrentUser,
    call_context::CallContext,
    change_password::RequestedChange,
    error::AccountError,
    imported_hashes::ImportedHashes,
    introspection::{Identity, SessionOutagePolicy},
    login::Credentials,
    profile_export::{DisclosedEvent, ProfileExport},
    reauthentication::EndedSessions,
    refresh::Refreshed,
    service::{Accounts, Lifetimes, Tokens},
    sign_up::SignUp,
    user_admin::{
        AdminCall, DeletedUsers, EditedUser, HourOfStatistics, InvalidUserRef, NewUser, UserAdmin, UserAdminError,
        UserEdit, UserRef,
    },
};
