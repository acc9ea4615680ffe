//! Access tokens.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{claims::Claims, format::AccessFormat, key_set::KeySetFormat};
use crate::{
    clock::whole_seconds,
    keys::{LiveKeyring, VerifyError},
    model::{SessionId, UserId},
};

/// The longest access token that any settings may lead to, in bytes: it travels in a header with every request.
pub const MAX_ACCESS_TOKEN_BYTES: usize = 1024;

/// Why an access token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessTokenError {
    /// Not a token that this service would issue: its shape, key, issuer, audience or type is another.
    #[error("not an access token of this service")]
    Invalid,
    /// It was valid once.
    #[error("the access token has expired")]
    Expired,
}

/// An access token could be longer than [`MAX_ACCESS_TOKEN_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("issuer and audience make access tokens of {bytes} bytes: at most {MAX_ACCESS_TOKEN_BYTES} are allowed")]
pub struct TokenTooLong {
    /// How long it would be.
    pub bytes: usize,
}

/// Issues and verifies access tokens.
#[derive(Debug)]
pub struct AccessTokens {
    keys: Arc<LiveKeyring>,
    format: AccessFormat,
    issuer: String,
    audience: String,
}

impl AccessTokens {
    /// Tokens under the signing keys, from `issuer`, for `audience`.
    ///
    /// # Errors
    /// Where the settings would lead to tokens that are too long. Only their times, and those by two digits at most, make
    /// tokens of the same settings longer or shorter.
    pub fn new(
        keys: Arc<LiveKeyring>,
        format: AccessFormat,
        issuer: String,
        audience: String,
    ) -> Result<Self, TokenTooLong> {
        let tokens = Self { keys, format, issuer, audience };
        let far = time::macros::datetime!(9999-12-31 23:59:59 UTC);
        let longest = tokens.issue(UserId(Uuid::max()), SessionId(Uuid::max()), far, far);
        match longest.len() {
            bytes if bytes > MAX_ACCESS_TOKEN_BYTES => Err(TokenTooLong { bytes }),
            _ => Ok(tokens),
        }
    }

    /// A token for this user's session, accepted until `expires` (cut to whole seconds).
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

    /// The keys that verify these tokens, for whoever checks them by themselves: a JSON text.
    #[must_use]
    pub fn published_keys(&self, set: KeySetFormat) -> String {
        set.of(&self.keys.current())
    }

    /// What a valid token says: checked are its shape, key, issuer, audience and type, and then its expiry.
    ///
    /// # Errors
    /// Where one of them is not as it should be.
    pub async fn verify(&self, token: &str, now: OffsetDateTime) -> Result<Claims, AccessTokenError> {
        self.check_claims(self.keys.check(|keyring| AccessFormat::verify(token, keyring)).await, now)
    }

    /// The same under the keys of now: one that is not among them is not looked for.
    ///
    /// # Errors
    /// Those of [`AccessTokens::verify`].
    pub fn verify_now(&self, token: &str, now: OffsetDateTime) -> Result<Claims, AccessTokenError> {
        self.check_claims(AccessFormat::verify(token, &self.keys.current()), now)
    }

    fn check_claims(
        &self,
        claims: Result<Claims, VerifyError>,
        now: OffsetDateTime,
    ) -> Result<Claims, AccessTokenError> {
        let claims = claims.map_err(|_| AccessTokenError::Invalid)?;
        if claims.issuer != self.issuer || claims.audience != self.audience {
            return Err(AccessTokenError::Invalid);
        }
        if now >= claims.expires {
            return Err(AccessTokenError::Expired);
        }
        Ok(claims)
    }
}
