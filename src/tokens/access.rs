//! Access tokens.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{claims::Claims, format::AccessFormat, key_set::KeySetFormat, verified::VerifiedTokens};
use crate::{
    clock::whole_seconds,
    keys::{Keyring, LiveKeyring, VerifyError},
    model::{SessionId, UserId},
};

/// Maximum length of an access token, in bytes: every request carries one in a header.
pub const MAX_ACCESS_TOKEN_BYTES: usize = 1024;

/// Why an access token is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessTokenError {
    /// The format, key, issuer, audience or type is not that of this service.
    #[error("not an access token of this service")]
    Invalid,
    /// The token has expired.
    #[error("the access token has expired")]
    Expired,
}

/// The settings would produce access tokens longer than [`MAX_ACCESS_TOKEN_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("issuer and audience produce access tokens of {bytes} bytes: expected at most {MAX_ACCESS_TOKEN_BYTES}")]
pub struct TokenTooLong {
    /// The length of the longest token.
    pub bytes: usize,
}

/// Issues and verifies access tokens. Remembers verified tokens until the keys change, so that their signatures are verified
/// once. Their expiry is checked each time.
#[derive(Debug)]
pub struct AccessTokens {
    keys: Arc<LiveKeyring>,
    verified: VerifiedTokens,
    format: AccessFormat,
    issuer: String,
    audience: String,
}

impl AccessTokens {
    /// Creates tokens for this issuer and audience.
    ///
    /// # Errors
    /// Returns [`TokenTooLong`] if the longest token of these settings would be too long. Tokens of the same settings differ
    /// in length only by their times, by at most two digits.
    pub fn new(
        keys: Arc<LiveKeyring>,
        format: AccessFormat,
        issuer: String,
        audience: String,
    ) -> Result<Self, TokenTooLong> {
        let verified = VerifiedTokens::new(keys.current());
        let tokens = Self { keys, verified, format, issuer, audience };
        let far = time::macros::datetime!(9999-12-31 23:59:59 UTC);
        let longest = tokens.issue(UserId(Uuid::max()), SessionId(Uuid::max()), far, far);
        match longest.len() {
            bytes if bytes > MAX_ACCESS_TOKEN_BYTES => Err(TokenTooLong { bytes }),
            _ => Ok(tokens),
        }
    }

    /// Issues a token for a session of this user. The token is accepted until `expires`, rounded down to whole seconds.
    #[must_use]
    pub fn issue(&self, subject: UserId, session: SessionId, now: OffsetDateTime, expires: OffsetDateTime) -> String {
        let claims = Claims {
            issuer: self.issuer.clone(),
            subject,
            audience: self.audience.clone(),
            issued: whole_seconds(now),
            expires: whole_seconds(expires),
            id: URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes()),
            session,
        };
        self.format.sign(&claims, &self.keys.current())
    }

    /// Returns the keys that verify these tokens, as JSON.
    #[must_use]
    pub fn published_keys(&self, set: KeySetFormat) -> String {
        set.of(&self.keys.current())
    }

    /// Verifies the format, key, issuer, audience and type of a token, then its expiry, and returns its claims. Reloads the
    /// keys if the token names an unknown one.
    ///
    /// # Errors
    /// Returns [`AccessTokenError`] if a check fails.
    pub async fn verify(&self, token: &str, now: OffsetDateTime) -> Result<Arc<Claims>, AccessTokenError> {
        let checked = self.keys.check(|keyring| self.check(token, keyring, now)).await;
        checked.unwrap_or(Err(AccessTokenError::Invalid))
    }

    /// Verifies like [`AccessTokens::verify`], but never reloads the keys.
    ///
    /// # Errors
    /// Returns the errors of [`AccessTokens::verify`].
    pub fn verify_now(&self, token: &str, now: OffsetDateTime) -> Result<Arc<Claims>, AccessTokenError> {
        self.check(token, &self.keys.current(), now).unwrap_or(Err(AccessTokenError::Invalid))
    }

    fn check(
        &self,
        token: &str,
        keyring: &Arc<Keyring>,
        now: OffsetDateTime,
    ) -> Result<Result<Arc<Claims>, AccessTokenError>, VerifyError> {
        let verified = self.verified.of(keyring);
        if let Some(claims) = verified.find(token) {
            // The key, issuer, audience and type cannot change, but the time does.
            if now < claims.expires {
                return Ok(Ok(claims));
            }
            verified.forget(token);
            return Ok(Err(AccessTokenError::Expired));
        }
        let claims = AccessFormat::verify(token, verified.keyring())?;
        if claims.issuer != self.issuer || claims.audience != self.audience {
            return Ok(Err(AccessTokenError::Invalid));
        }
        if now >= claims.expires {
            return Ok(Err(AccessTokenError::Expired));
        }
        let claims = Arc::new(claims);
        verified.remember(token, Arc::clone(&claims));
        Ok(Ok(claims))
    }
}

#[cfg(test)]
impl AccessTokens {
    /// Returns whether a token is remembered as verified.
    pub(super) fn remembers(&self, token: &str) -> bool {
        self.verified.of(&self.keys.current()).find(token).is_some()
    }
}
