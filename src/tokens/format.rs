//! Formats of access tokens.

#[cfg(feature = "jwt")]
mod jwt;
pub mod paseto;

use std::{fmt, str::FromStr};

use super::{claims::Claims, key_set::KeySetFormat};
use crate::keys::{Keyring, VerifyError};

/// The format of an access token. All compiled-in formats are accepted; a setting selects the one that is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessFormat {
    /// PASETO `v4.public` with the registered claims of PASETO.
    Paseto,
    /// PASETO `v4.public` with the claims of a JWT.
    #[cfg(feature = "jwt")]
    PasetoJwtClaims,
    /// JWT, signed with `EdDSA` and the same keys.
    #[cfg(feature = "jwt")]
    Jwt,
}

/// The signature scheme of a token, which its prefix shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// PASETO `v4.public`.
    Paseto,
    /// JWS compact serialization.
    #[cfg(feature = "jwt")]
    Jws,
}

impl AccessFormat {
    /// All formats that are compiled in.
    pub const ALL: &[Self] = &[
        Self::Paseto,
        #[cfg(feature = "jwt")]
        Self::PasetoJwtClaims,
        #[cfg(feature = "jwt")]
        Self::Jwt,
    ];

    /// Names of the formats that need the cargo feature `jwt`, compiled in or not.
    pub(super) const OF_THE_JWT_FEATURE: [&str; 2] = ["paseto-jwt-claims", "jwt"];

    /// Returns the key set that a verifier of this format needs.
    #[must_use]
    pub fn key_set(self) -> KeySetFormat {
        match self.envelope() {
            Envelope::Paseto => KeySetFormat::Paserk,
            #[cfg(feature = "jwt")]
            Envelope::Jws => KeySetFormat::Jwk,
        }
    }

    /// Returns whether a compiled-in format uses this key set.
    #[must_use]
    pub fn publishes(key_set: KeySetFormat) -> bool {
        Self::ALL.iter().any(|format| format.key_set() == key_set)
    }

    /// Returns a token with these claims, signed with the active key.
    pub(super) fn sign(self, claims: &Claims, keyring: &Keyring) -> String {
        self.envelope().sign(&self.encode(claims), keyring)
    }

    /// Verifies a token of any compiled-in format and returns its claims. Verifies one signature; the claims then determine
    /// the format.
    pub(super) fn verify(token: &str, keyring: &Keyring) -> Result<Claims, VerifyError> {
        let envelope = Envelope::of(token).ok_or(VerifyError::Invalid)?;
        let payload = envelope.verify(token, keyring)?;
        let formats = Self::ALL.iter().filter(|format| format.envelope() == envelope);
        formats.into_iter().find_map(|format| format.decode(&payload)).ok_or(VerifyError::Invalid)
    }

    pub(super) fn envelope(self) -> Envelope {
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
    /// Returns the envelope that the prefix of a token names.
    pub(super) fn of(token: &str) -> Option<Self> {
        match token {
            _ if token.starts_with(paseto::PREFIX) => Some(Self::Paseto),
            #[cfg(feature = "jwt")]
            _ if token.starts_with(jwt::PREFIX) => Some(Self::Jws),
            _ => None,
        }
    }

    pub(super) fn sign(self, payload: &[u8], keyring: &Keyring) -> String {
        match self {
            Self::Paseto => paseto::sign(payload, keyring),
            #[cfg(feature = "jwt")]
            Self::Jws => jwt::sign(payload, keyring),
        }
    }

    pub(super) fn verify(self, token: &str, keyring: &Keyring) -> Result<Vec<u8>, VerifyError> {
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
            return Err(format!("a format other than {name}: this binary lacks the cargo feature `jwt`"));
        }
        let known: Vec<_> = Self::ALL.iter().map(ToString::to_string).collect();
        Err(format!("one of: {}", known.join(", ")))
    }
}
