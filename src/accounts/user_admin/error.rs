//! Errors of the administration of users.

use super::user_ref::UserRef;
use crate::{
    passwords::{Overloaded, PolicyViolation},
    store::StoreError,
};

/// The reason why an administrative action failed.
#[derive(Debug, thiserror::Error)]
pub enum UserAdminError {
    /// No user has this email or id.
    #[error("no such user: {0}")]
    NoSuchUser(UserRef),
    /// Another user has this email.
    #[error("another user already has this email")]
    EmailTaken,
    /// Afterwards, no active administrator would have a password.
    #[error("the last administrator who can log in: expected another active administrator with a password")]
    LastAdministrator,
    /// The caller may create and change members only.
    #[error("an API key cannot create or change administrators")]
    MembersOnly,
    /// The user has no valid session with this id.
    #[error("the user has no valid session with this id")]
    SessionNotFound,
    /// The policy does not accept the password.
    #[error("{}", sentences(.0))]
    PolicyViolations(Vec<PolicyViolation>),
    /// The hashing queue is too long.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn sentences(violations: &[PolicyViolation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
