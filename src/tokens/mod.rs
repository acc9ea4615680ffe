//! Access tokens, which anyone can verify offline, and refresh tokens, which only Postern can verify.
//!
//! Neither needs a store: [`crate::accounts`] checks whether the session of a token is valid.

mod access;
mod claims;
mod format;
mod key_set;
mod refresh;
#[cfg(test)]
mod tests;
mod verified;

pub use self::{
    access::{AccessTokenError, AccessTokens, MAX_ACCESS_TOKEN_BYTES, TokenTooLong},
    claims::Claims,
    format::AccessFormat,
    key_set::KeySetFormat,
    refresh::{InvalidRefreshToken, RefreshClaims, RefreshTokens},
};
