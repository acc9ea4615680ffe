//! Tokens: access tokens that anyone can check offline, refresh tokens that only we can.
//!
//! Neither asks a store; whether the session that a token speaks of is in force is for [`crate::accounts`] to find out.

#[cfg(feature = "jwt")]
mod jwt;
pub mod keyring;
mod paseto;
mod published;
mod refresh;
#[cfg(test)]
mod suite;

use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::{
    keyring::{Keyring, KeyringError, Keys},
    published::KeySet,
    refresh::{InvalidRefreshToken, RefreshClaims, RefreshTokens},
};
use crate::{
    accounts::{SessionId, UserId},
    clock::whole_seconds,
};

/// The longest access token that any settings may lead to, in bytes: it travels in a header with every request.
pub const MAX_ACCESS_TOKEN_BYTES: usize = 1024;

/// How access tokens are written. Every format that is compiled in is accepted; one is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessFormat {
    /// PASETO `v4.public` with PASETO's registered claims.
    Paseto,
    /// PASETO `v4.public` with the claims of a JWT.
    #[cfg(feature = "jwt")]
    PasetoJwtClaims,
    /// JWT, signed by `EdDSA` under the same keys.
    #[cfg(feature = "jwt")]
    Jwt,
}

/// What a token's signature is, and so how it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Envelope {
    /// PASETO `v4.public`.
    Paseto,
    /// JWS, compact.
    #[cfg(feature = "jwt")]
    Jws,
}

impl AccessFormat {
    /// Every format that is compiled in.
    pub const ALL: &[Self] = &[
        Self::Paseto,
        #[cfg(feature = "jwt")]
        Self::PasetoJwtClaims,
        #[cfg(feature = "jwt")]
        Self::Jwt,
    ];

    /// The names of those that take the cargo feature `jwt`, compiled in or not.
    const OF_THE_JWT_FEATURE: [&str; 2] = ["paseto-jwt-claims", "jwt"];

    /// Where a verifier of this format looks for our keys.
    #[must_use]
    pub fn key_set(self) -> KeySet {
        match self.envelope() {
            Envelope::Paseto => KeySet::Paserk,
            #[cfg(feature = "jwt")]
            Envelope::Jws => KeySet::Jwk,
        }
    }

    /// A token with these claims, signed with the active key of a keyring.
    fn sign(self, claims: &Claims, keyring: &Keyring) -> String {
        self.envelope().sign(&self.encode(claims), keyring)
    }

    /// What a token of any format that is compiled in says, where a key of the keyring has signed it. One signature is
    /// verified, and then the claims tell which format it is.
    fn verify(token: &str, keyring: &Keyring) -> Result<Claims, Unverified> {
        let envelope = Envelope::of(token).ok_or(Unverified::Invalid)?;
        let payload = envelope.verify(token, keyring)?;
        let formats = Self::ALL.iter().filter(|format| format.envelope() == envelope);
        formats.into_iter().find_map(|format| format.decode(&payload)).ok_or(Unverified::Invalid)
    }

    fn envelope(self) -> Envelope {
        match self {
            Self::Paseto => Envelope::Paseto,
            #[cfg(feature = "jwt")]
            Self::PasetoJwtClaims => Envelope::Paseto,
            #[cfg(feature = "jwt")]
            Self::Jwt => Envelope::Jws,
        }
    }

    fn encode(self, claims: &Claims) -> Vec<u8> {
        match self {
            Self::Paseto => paseto::encode(claims),
            #[cfg(feature = "jwt")]
            Self::PasetoJwtClaims | Self::Jwt => jwt::encode(claims),
        }
    }

    fn decode(self, payload: &[u8]) -> Option<Claims> {
        match self {
            Self::Paseto => paseto::decode(payload),
            #[cfg(feature = "jwt")]
            Self::PasetoJwtClaims | Self::Jwt => jwt::decode(payload),
        }
    }
}

impl Envelope {
    /// What a text is by its beginning.
    fn of(token: &str) -> Option<Self> {
        match token {
            _ if token.starts_with(paseto::BEGINNING) => Some(Self::Paseto),
            #[cfg(feature = "jwt")]
            _ if token.starts_with(jwt::BEGINNING) => Some(Self::Jws),
            _ => None,
        }
    }

    fn sign(self, payload: &[u8], keyring: &Keyring) -> String {
        match self {
            Self::Paseto => paseto::sign(payload, keyring),
            #[cfg(feature = "jwt")]
            Self::Jws => jwt::sign(payload, keyring),
        }
    }

    fn verify(self, token: &str, keyring: &Keyring) -> Result<Vec<u8>, Unverified> {
        match self {
            Self::Paseto => paseto::verify(token, keyring),
            #[cfg(feature = "jwt")]
            Self::Jws => jwt::verify(token, keyring),
        }
    }
}

impl fmt::Display for AccessFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Paseto => "paseto",
            #[cfg(feature = "jwt")]
            Self::PasetoJwtClaims => "paseto-jwt-claims",
            #[cfg(feature = "jwt")]
            Self::Jwt => "jwt",
        })
    }
}

impl FromStr for AccessFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if let Some(format) = Self::ALL.iter().find(|format| format.to_string() == name) {
            return Ok(*format);
        }
        if Self::OF_THE_JWT_FEATURE.contains(&name) {
            return Err(
                "another binary: this one was built without the cargo feature `jwt`, which has that format".to_owned()
            );
        }
        let known: Vec<_> = Self::ALL.iter().map(ToString::to_string).collect();
        Err(format!("one of: {}", known.join(", ")))
    }
}

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who issued it.
    pub issuer: String,
    /// Whose it is.
    pub subject: UserId,
    /// Whom it is for.
    pub audience: String,
    /// When it was issued, in whole seconds.
    pub issued: OffsetDateTime,
    /// From when on it is refused, in whole seconds.
    pub expires: OffsetDateTime,
    /// Of this token alone: a random UUID in base64url, since its usual text would make tokens longer than they may be.
    pub id: String,
    /// The session that it speaks for.
    pub session: SessionId,
}

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

/// Why a text is not taken for a token that a key of ours has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unverified {
    /// Its shape, its signature or its claims are not ours.
    Invalid,
    /// It names a key that the keyring does not have: one that was added since, perhaps.
    UnknownKey,
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
    keys: Arc<Keys>,
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
    pub fn new(keys: Arc<Keys>, format: AccessFormat, issuer: String, audience: String) -> Result<Self, TokenTooLong> {
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
    pub fn published_keys(&self, set: KeySet) -> String {
        set.of(&self.keys.current())
    }

    /// What a valid token says: checked are its shape, key, issuer, audience and type, and then its expiry.
    ///
    /// # Errors
    /// Where one of them is not as it should be.
    pub async fn verify(&self, token: &str, now: OffsetDateTime) -> Result<Claims, AccessTokenError> {
        self.judge(self.keys.check(|keyring| AccessFormat::verify(token, keyring)).await, now)
    }

    /// The same under the keys of now: one that is not among them is not looked for.
    ///
    /// # Errors
    /// Those of [`AccessTokens::verify`].
    pub fn verify_now(&self, token: &str, now: OffsetDateTime) -> Result<Claims, AccessTokenError> {
        self.judge(AccessFormat::verify(token, &self.keys.current()), now)
    }

    fn judge(&self, claims: Result<Claims, Unverified>, now: OffsetDateTime) -> Result<Claims, AccessTokenError> {
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

/// What the tests of this module share.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Keys of its own.
    pub fn keys() -> Arc<Keys> {
        keys_in_a_directory().0
    }

    /// A keyring of its own.
    pub fn keyring() -> Arc<Keyring> {
        keys().current()
    }

    /// The bytes of a text in hexadecimal digits.
    pub fn bytes(digits: &str) -> Vec<u8> {
        let digit = |place| u8::from_str_radix(&digits[place..place + 2], 16).expect("hexadecimal digits");
        (0..digits.len()).step_by(2).map(digit).collect()
    }

    /// Keys of its own, and where they are.
    pub fn keys_in_a_directory() -> (Arc<Keys>, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        keyring::generate(directory.path(), OffsetDateTime::UNIX_EPOCH).expect("keys can be made");
        (Arc::new(Keys::open(directory.path()).expect("keys can be read")), directory)
    }

    /// The same keys for all cases of a property test: making keys waits for the disk.
    pub fn shared_keys() -> Arc<Keys> {
        static SHARED: std::sync::LazyLock<Arc<Keys>> = std::sync::LazyLock::new(keys);
        Arc::clone(&SHARED)
    }
}
