//! Refresh tokens: a session id and a counter, authenticated with a MAC.
//!
//! | bytes | content |
//! |---|---|
//! | 0 | version, 1 |
//! | 1–4 | tag of the key |
//! | 5–20 | user id |
//! | 21–36 | session id |
//! | 37–44 | counter, big-endian |
//! | 45–76 | HMAC-SHA-256 (RFC 2104, FIPS 180-4) of [`PURPOSE`] and the bytes before |
//!
//! The text is base64url without padding (RFC 4648, section 5): 103 characters.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use crate::{
    keys::{Keyring, LiveKeyring, VerifyError},
    model::{KeyTag, SessionId, UserId},
};

const VERSION: u8 = 1;
const SIGNED_BYTES: usize = 45;
const BYTES: usize = SIGNED_BYTES + 32;

/// Domain separation: input of the MAC before the token, so that a MAC of other data with the same key is no token.
const PURPOSE: &[u8] = b"postern refresh token\0";

/// The claims of an authentic refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshClaims {
    /// The user.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// Number of the token within its session, in the order of issue.
    pub counter: u64,
}

/// A refresh token is malformed or forged, or has an unknown key or version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an authentic refresh token")]
pub struct InvalidRefreshToken;

/// Issues and verifies refresh tokens. Needs only the keys, no store.
#[derive(Debug)]
pub struct RefreshTokens {
    keys: Arc<LiveKeyring>,
}

impl RefreshTokens {
    /// Creates tokens that use the refresh-token keys.
    #[must_use]
    pub fn new(keys: Arc<LiveKeyring>) -> Self {
        Self { keys }
    }

    /// Returns the tag of the active refresh-token key.
    #[must_use]
    pub fn active_key(&self) -> KeyTag {
        self.keys.current().refresh()
    }

    /// Issues the token with these claims and this key; equal arguments give equal tokens. If the key has been removed, which
    /// only an emergency rotation does this early, uses the active key: the claims are the same, and the session continues.
    #[must_use]
    pub fn issue(&self, claims: RefreshClaims, tag: KeyTag) -> String {
        let keyring = self.keys.current();
        let known = keyring.refresh_key(tag).map(|key| encode(claims, tag, key));
        known.unwrap_or_else(|| {
            let (tag, key) = (keyring.refresh(), keyring.refresh_key(keyring.refresh()));
            encode(claims, tag, key.unwrap_or_else(|| unreachable!("the active key is in the keyring")))
        })
    }

    /// Verifies a token and returns its claims. Reloads the keys if the token names an unknown one.
    ///
    /// # Errors
    /// Returns [`InvalidRefreshToken`] if the text is not exactly a token that [`RefreshTokens::issue`] returns.
    pub async fn verify(&self, token: &str) -> Result<RefreshClaims, InvalidRefreshToken> {
        let layout = Layout::parse(token)?;
        self.keys.check(|keyring| layout.check(keyring)).await.map_err(|_| InvalidRefreshToken)
    }

    /// Verifies like [`RefreshTokens::verify`], but never reloads the keys.
    ///
    /// # Errors
    /// Returns the errors of [`RefreshTokens::verify`].
    pub fn verify_now(&self, token: &str) -> Result<RefreshClaims, InvalidRefreshToken> {
        Layout::parse(token)?.check(&self.keys.current()).map_err(|_| InvalidRefreshToken)
    }
}

/// The bytes of a token with a valid length and version, not authenticated yet.
struct Layout([u8; BYTES]);

impl Layout {
    fn parse(token: &str) -> Result<Self, InvalidRefreshToken> {
        let mut bytes = [0; BYTES];
        // The engine rejects padding, foreign characters and trailing bits, so each token has only one text.
        let length = URL_SAFE_NO_PAD.decode_slice(token, &mut bytes).map_err(|_| InvalidRefreshToken)?;
        if length != BYTES || bytes[0] != VERSION {
            return Err(InvalidRefreshToken);
        }
        Ok(Self(bytes))
    }

    fn check(&self, keyring: &Keyring) -> Result<RefreshClaims, VerifyError> {
        let (signed, mac) = self.0.split_at(SIGNED_BYTES);
        let key = keyring.refresh_key(KeyTag(field(signed, 1))).ok_or(VerifyError::UnknownKey)?;
        authenticated(key, signed).verify_slice(mac).map_err(|_| VerifyError::Invalid)?;
        Ok(RefreshClaims {
            user: UserId(Uuid::from_bytes(field(signed, 5))),
            session: SessionId(Uuid::from_bytes(field(signed, 21))),
            counter: u64::from_be_bytes(field(signed, 37)),
        })
    }
}

fn encode(claims: RefreshClaims, tag: KeyTag, key: &[u8; 32]) -> String {
    let mut token = Vec::with_capacity(BYTES);
    token.push(VERSION);
    token.extend_from_slice(&tag.0);
    token.extend_from_slice(claims.user.0.as_bytes());
    token.extend_from_slice(claims.session.0.as_bytes());
    token.extend_from_slice(&claims.counter.to_be_bytes());
    let mac = authenticated(key, &token).finalize().into_bytes();
    token.extend_from_slice(&mac);
    URL_SAFE_NO_PAD.encode(token)
}

fn authenticated(key: &[u8; 32], signed: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
    mac.chain_update(PURPOSE).chain_update(signed)
}

fn field<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    let slice = bytes[start..].first_chunk();
    *slice.unwrap_or_else(|| unreachable!("all fields are within the signed bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::OffsetDateTime;

    use super::*;
    use crate::keys::{
        self,
        testing::{keys, keys_in_a_directory, shared_keys},
    };

    fn claims() -> RefreshClaims {
        RefreshClaims { user: UserId(Uuid::from_u128(1)), session: SessionId(Uuid::from_u128(2)), counter: 3 }
    }

    fn issued(tokens: &RefreshTokens) -> String {
        tokens.issue(claims(), tokens.active_key())
    }

    #[test]
    fn verified_token_returns_its_claims() {
        let tokens = RefreshTokens::new(keys());

        let token = issued(&tokens);

        assert_eq!(tokens.verify_now(&token), Ok(claims()));
        assert!(token.len() <= 128, "{} characters", token.len());
    }

    #[test]
    fn token_of_another_keyring_is_rejected() {
        let token = issued(&RefreshTokens::new(keys()));

        assert_eq!(RefreshTokens::new(keys()).verify_now(&token), Err(InvalidRefreshToken));
    }

    #[test]
    fn active_key_signs_if_the_key_was_removed() {
        let tokens = RefreshTokens::new(keys());
        let removed = KeyTag(tokens.active_key().0.map(|byte| !byte));

        let token = tokens.issue(claims(), removed);

        assert_eq!(token, issued(&tokens));
    }

    #[tokio::test]
    async fn unknown_key_reloads_the_keyring() {
        let (keys, directory) = keys_in_a_directory();
        let tokens = RefreshTokens::new(keys);
        keys::emergency_rotate(directory.path(), keys::Purpose::Refresh, OffsetDateTime::UNIX_EPOCH)
            .expect("a new key");
        let other_server = RefreshTokens::new(Arc::new(LiveKeyring::open(directory.path()).expect("keys can be read")));

        let token = issued(&other_server);

        assert_eq!(tokens.verify_now(&token), Err(InvalidRefreshToken));
        assert_eq!(tokens.verify(&token).await, Ok(claims()));
    }

    #[test]
    fn token_has_only_one_text() {
        let tokens = RefreshTokens::new(keys());
        let token = issued(&tokens);

        // 77 bytes leave four unused bits in the last character: a lenient decoder would accept sixteen characters.
        let last = token.chars().last().expect("a token is not empty");
        for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars() {
            let text = format!("{}{other}", &token[..token.len() - 1]);
            assert_eq!(tokens.verify_now(&text).is_ok(), other == last, "{text}");
        }
        for text in [format!("{token}="), format!(" {token}"), format!("{token}\n"), format!("{token}A")] {
            assert_eq!(tokens.verify_now(&text), Err(InvalidRefreshToken), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn token_with_a_changed_bit_is_rejected(byte in 0..BYTES, bit in 0_u8..8) {
            let tokens = RefreshTokens::new(shared_keys());
            let mut bytes = URL_SAFE_NO_PAD.decode(issued(&tokens)).expect("base64url");

            bytes[byte] ^= 1_u8 << bit;

            prop_assert_eq!(tokens.verify_now(&URL_SAFE_NO_PAD.encode(bytes)), Err(InvalidRefreshToken));
        }

        #[test]
        fn parser_never_panics(text in "\\PC{0,160}") {
            prop_assert_eq!(RefreshTokens::new(shared_keys()).verify_now(&text), Err(InvalidRefreshToken));
        }
    }
}
