//! Tokens: access tokens that anyone can check offline, refresh tokens that only we can.
//!
//! Neither asks a store; whether the session that a token speaks of is in force is for [`crate::accounts`] to find out.

#[cfg(feature = "jwt")]
mod jwt;
pub mod keyring;
mod paseto;
mod refresh;

use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::{
    keyring::{Keyring, KeyringError},
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
}

impl AccessFormat {
    /// Every format that is compiled in.
    pub const ALL: &[Self] = &[
        Self::Paseto,
        #[cfg(feature = "jwt")]
        Self::PasetoJwtClaims,
    ];

    fn encode(self, claims: &Claims) -> Vec<u8> {
        match self {
            Self::Paseto => paseto::encode(claims),
            #[cfg(feature = "jwt")]
            Self::PasetoJwtClaims => jwt::encode(claims),
        }
    }

    fn decode(self, payload: &[u8]) -> Option<Claims> {
        match self {
            Self::Paseto => paseto::decode(payload),
            #[cfg(feature = "jwt")]
            Self::PasetoJwtClaims => jwt::decode(payload),
        }
    }
}

impl fmt::Display for AccessFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Paseto => "paseto",
            #[cfg(feature = "jwt")]
            Self::PasetoJwtClaims => "paseto-jwt-claims",
        })
    }
}

impl FromStr for AccessFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if let Some(format) = Self::ALL.iter().find(|format| format.to_string() == name) {
            return Ok(*format);
        }
        if name == "paseto-jwt-claims" {
            return Err("this binary was built without the cargo feature `jwt`, which has that format".to_owned());
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
    keyring: Arc<Keyring>,
    format: AccessFormat,
    issuer: String,
    audience: String,
}

impl AccessTokens {
    /// Tokens under the signing keys of a keyring, from `issuer`, for `audience`.
    ///
    /// # Errors
    /// Where the settings would lead to tokens that are too long. All tokens of the same settings are of one length.
    pub fn new(
        keyring: Arc<Keyring>,
        format: AccessFormat,
        issuer: String,
        audience: String,
    ) -> Result<Self, TokenTooLong> {
        let tokens = Self { keyring, format, issuer, audience };
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
        paseto::sign(&self.format.encode(&claims), &self.keyring)
    }

    /// What a valid token says: checked are its shape, key, issuer, audience and type, and then its expiry.
    ///
    /// # Errors
    /// Where one of them is not as it should be.
    pub fn verify(&self, token: &str, now: OffsetDateTime) -> Result<Claims, AccessTokenError> {
        let payload = paseto::verify(token, &self.keyring).ok_or(AccessTokenError::Invalid)?;
        let claims = AccessFormat::ALL.iter().find_map(|format| format.decode(&payload));
        let is_ours = |claims: &Claims| claims.issuer == self.issuer && claims.audience == self.audience;
        let claims = claims.filter(is_ours).ok_or(AccessTokenError::Invalid)?;
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

    /// A keyring of its own.
    pub fn keyring() -> Arc<Keyring> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        keyring::generate(directory.path(), OffsetDateTime::UNIX_EPOCH).expect("keys can be made");
        Arc::new(Keyring::load(directory.path()).expect("keys can be read"))
    }

    /// One keyring for all cases of a property test: making keys waits for the disk.
    pub fn shared_keyring() -> Arc<Keyring> {
        static SHARED: std::sync::LazyLock<Arc<Keyring>> = std::sync::LazyLock::new(keyring);
        Arc::clone(&SHARED)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::from_unix_ms;

    fn tokens(keyring: &Arc<Keyring>, format: AccessFormat) -> AccessTokens {
        AccessTokens::new(Arc::clone(keyring), format, "postern".to_owned(), "postern".to_owned())
            .expect("the default settings make short tokens")
    }

    fn noon() -> OffsetDateTime {
        from_unix_ms(1_800_000_000_500).expect("a time within range")
    }

    fn issued(tokens: &AccessTokens) -> String {
        let (user, session) = (UserId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)));
        tokens.issue(user, session, noon(), noon() + Duration::from_mins(5))
    }

    #[test]
    fn a_token_of_any_format_is_accepted_until_the_second_it_expires() {
        let keyring = testing::keyring();
        for format in AccessFormat::ALL {
            let token = issued(&tokens(&keyring, *format));

            for verifier in AccessFormat::ALL {
                let verifier = tokens(&keyring, *verifier);
                let claims = verifier.verify(&token, noon()).expect("a valid token");
                assert_eq!((claims.subject.0.as_u128(), claims.session.0.as_u128()), (1, 2));

                let last = claims.expires - Duration::from_millis(1);
                assert!(verifier.verify(&token, last).is_ok());
                assert_eq!(verifier.verify(&token, claims.expires), Err(AccessTokenError::Expired));
            }
        }
    }

    #[test]
    fn another_key_issuer_or_audience_is_refused_before_the_expiry_is_looked_at() {
        let keyring = testing::keyring();
        let ours = tokens(&keyring, AccessFormat::Paseto);
        let named = |issuer: &str, audience: &str| {
            AccessTokens::new(Arc::clone(&keyring), AccessFormat::Paseto, issuer.to_owned(), audience.to_owned())
                .expect("short tokens")
        };
        let much_later = noon() + Duration::from_hours(1);

        for other in [tokens(&testing::keyring(), AccessFormat::Paseto), named("x", "postern"), named("postern", "x")] {
            assert_eq!(ours.verify(&issued(&other), much_later), Err(AccessTokenError::Invalid));
        }
    }

    #[test]
    fn the_default_claims_are_those_that_are_documented() {
        let keyring = testing::keyring();

        let token = issued(&tokens(&keyring, AccessFormat::Paseto));

        let [version, purpose, payload, footer]: [&str; 4] =
            token.split('.').collect::<Vec<_>>().try_into().expect("four parts");
        assert_eq!((version, purpose), ("v4", "public"));
        let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
        let mut claims: serde_json::Value =
            serde_json::from_slice(&payload[..payload.len() - 64]).expect("claims before the signature");
        let id = claims.as_object_mut().and_then(|members| members.remove("jti")).expect("an id");
        assert_eq!(id.as_str().map(str::len), Some(22));
        insta::assert_json_snapshot!(claims, @r#"
        {
          "aud": "postern",
          "exp": "2027-01-15T08:05:00Z",
          "iat": "2027-01-15T08:00:00Z",
          "iss": "postern",
          "nbf": "2027-01-15T07:59:30Z",
          "sid": "00000000-0000-0000-0000-000000000002",
          "sub": "00000000-0000-0000-0000-000000000001"
        }
        "#);
        let footer = URL_SAFE_NO_PAD.decode(footer).expect("base64url");
        assert!(footer.starts_with(br#"{"kid":"k4.pid."#));
    }

    #[cfg(feature = "jwt")]
    #[test]
    fn jwt_shaped_claims_are_exactly_those_that_are_documented() {
        let keyring = testing::keyring();

        let token = issued(&tokens(&keyring, AccessFormat::PasetoJwtClaims));

        let payload = paseto::verify(&token, &keyring).expect("a valid token");
        let mut claims: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
        claims.as_object_mut().and_then(|members| members.remove("jti")).expect("an id");
        insta::assert_json_snapshot!(claims, @r#"
        {
          "aud": "postern",
          "exp": 1800000300,
          "iat": 1800000000,
          "iss": "postern",
          "sid": "00000000-0000-0000-0000-000000000002",
          "sub": "00000000-0000-0000-0000-000000000001",
          "token_type": "access",
          "user_id": "00000000-0000-0000-0000-000000000001"
        }
        "#);
        assert!(token.len() <= 640, "{} bytes", token.len());
    }

    #[cfg(not(feature = "jwt"))]
    #[test]
    fn a_format_that_is_not_compiled_in_names_its_feature() {
        let refusal = "paseto-jwt-claims".parse::<AccessFormat>().expect_err("not compiled in");

        assert!(refusal.contains("cargo feature `jwt`"), "{refusal}");
    }

    #[test]
    fn a_token_of_the_default_settings_has_at_most_512_bytes() {
        let token = issued(&tokens(&testing::keyring(), AccessFormat::Paseto));

        assert!(token.len() <= 512, "{} bytes", token.len());
    }

    #[test]
    fn settings_that_make_tokens_too_long_are_refused() {
        let issuer = "https://".to_owned() + &"accounts.".repeat(80) + "example";

        let refusal = AccessTokens::new(testing::keyring(), AccessFormat::Paseto, issuer, "postern".to_owned());

        assert!(refusal.is_err_and(|error| error.bytes > MAX_ACCESS_TOKEN_BYTES));
    }

    proptest! {
        #[test]
        fn a_token_that_was_tampered_with_is_refused(place in 0_usize..1024, bit in 0_u8..7) {
            let tokens = tokens(&testing::shared_keyring(), AccessFormat::Paseto);
            let mut bytes = issued(&tokens).into_bytes();
            let place = place % bytes.len();

            bytes[place] ^= 1_u8 << bit;

            let text = String::from_utf8(bytes).expect("ASCII with its seventh bit untouched");
            prop_assert_eq!(tokens.verify(&text, noon()), Err(AccessTokenError::Invalid));
        }
    }
}
