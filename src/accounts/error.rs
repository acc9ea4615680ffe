//! Errors of the use cases.

use crate::{passwords::Overloaded, rate_limit::RateLimited, store::StoreError};

/// Why a use case did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Another user has this email.
    #[error("the email is taken")]
    EmailTaken,
    /// Unknown email, wrong password, inactive user, unusable password: which of them is not told.
    #[error("no active user has this email and password")]
    InvalidCredentials,
    /// Not a token of ours, or its session or user is gone.
    #[error("the access token is not valid")]
    InvalidAccessToken,
    /// It was valid once.
    #[error("the access token has expired")]
    AccessTokenExpired,
    /// Malformed, forged, replaced, or its session or user is gone.
    #[error("the refresh token is not valid")]
    InvalidRefreshToken,
    /// No session of this user that is in force has this id.
    #[error("the user has no such session")]
    SessionNotFound,
    /// Not the user's password.
    #[error("the password is not the user's")]
    WrongPassword,
    /// Too many attempts have failed.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    /// The hashing queue is too long.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// A store did not do what it was asked for.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AccountError {
    /// Its name among the outcomes that metrics count.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::EmailTaken => "email_taken",
            Self::InvalidCredentials => "invalid_credentials",
            Self::InvalidAccessToken => "invalid_token",
            Self::AccessTokenExpired => "token_expired",
            Self::InvalidRefreshToken => "invalid_refresh_token",
            Self::SessionNotFound => "session_not_found",
            Self::WrongPassword => "wrong_password",
            Self::RateLimited(_) => "too_many_attempts",
            Self::Overloaded(_) => "overloaded",
            Self::Store(error) => error.label(),
        }
    }
}
