//! Errors of the use cases.

use crate::{
    passwords::{Overloaded, PolicyViolation},
    rate_limit::RateLimited,
    store::StoreError,
};

/// The reason why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Another user has this email.
    #[error("another user has this email")]
    EmailTaken,
    /// Unknown email, wrong password or inactive user. The response does not reveal which.
    #[error("no active user has this email and password")]
    InvalidCredentials,
    /// The access token is not authentic, or its session is not valid.
    #[error("invalid access token")]
    InvalidAccessToken,
    /// The access token is authentic but has expired.
    #[error("expired access token")]
    AccessTokenExpired,
    /// The refresh token is not authentic, superseded or reused, or its session is not valid.
    #[error("invalid refresh token")]
    InvalidRefreshToken,
    /// No valid session of this user has this id.
    #[error("the user has no valid session with this id")]
    SessionNotFound,
    /// The password of a signed-in user is wrong.
    #[error("wrong password")]
    WrongPassword,
    /// The user is the last administrator who can log in.
    #[error("the last administrator")]
    LastAdministrator,
    /// The policy does not accept the new password.
    #[error("the new password violates the policy")]
    PolicyViolations(Vec<PolicyViolation>),
    /// A limit on attempts is exceeded.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    /// The hashing queue is too long.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// A store call failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AccountError {
    /// Returns the outcome label in metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::EmailTaken => "email_taken",
            Self::InvalidCredentials => "invalid_credentials",
            Self::InvalidAccessToken => "invalid_token",
            Self::AccessTokenExpired => "token_expired",
            Self::InvalidRefreshToken => "invalid_refresh_token",
            Self::SessionNotFound => "session_not_found",
            Self::WrongPassword => "wrong_password",
            Self::LastAdministrator => "last_administrator",
            Self::PolicyViolations(_) => "policy_violation",
            Self::RateLimited(_) => "too_many_attempts",
            Self::Overloaded(_) => "overloaded",
            Self::Store(error) => error.label(),
        }
    }
}
