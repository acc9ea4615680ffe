//! The published keys, which allow offline verification of access tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pasetors::paserk::FormatAsPaserk as _;
use serde::Serialize;

use crate::keys::{KeyState, Keyring, PublishedKey};

/// A format of the published keys. Each contains every key that verifies access tokens, including the next one, so that
/// caches have a key before its first token is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySetFormat {
    /// `{"keys":[{"kid","paserk","state"}]}`: `paserk` is `k4.public.…`, `state` is `next`, `active` or `retiring`.
    Paserk,
    /// A JWK Set (RFC 7517, section 5) of Ed25519 keys (RFC 8037, section 2).
    Jwk,
}

impl KeySetFormat {
    /// Returns the keys of a keyring as JSON.
    #[must_use]
    pub fn of(self, keyring: &Keyring) -> String {
        match self {
            Self::Paserk => set(keyring.published().map(PaserkKey::from)),
            Self::Jwk => set(keyring.published().map(Jwk::from)),
        }
    }
}

fn set<K: Serialize>(keys: impl Iterator<Item = K>) -> String {
    #[derive(Serialize)]
    struct Set<K> {
        keys: Vec<K>,
    }
    let set = Set { keys: keys.collect() };
    serde_json::to_string(&set).unwrap_or_else(|_| unreachable!("strings always serialize"))
}

#[derive(Serialize)]
struct PaserkKey<'keyring> {
    kid: &'keyring str,
    paserk: String,
    state: KeyState,
}

impl<'keyring> From<PublishedKey<'keyring>> for PaserkKey<'keyring> {
    fn from(key: PublishedKey<'keyring>) -> Self {
        let mut paserk = String::new();
        key.public.fmt(&mut paserk).unwrap_or_else(|_| unreachable!("writing to a String never fails"));
        Self { kid: key.id, paserk, state: key.state }
    }
}

#[derive(Serialize)]
struct Jwk<'keyring> {
    kty: &'static str,
    crv: &'static str,
    x: String,
    kid: &'keyring str,
    alg: &'static str,
    r#use: &'static str,
}

impl<'keyring> From<PublishedKey<'keyring>> for Jwk<'keyring> {
    fn from(key: PublishedKey<'keyring>) -> Self {
        let x = URL_SAFE_NO_PAD.encode(key.public.as_bytes());
        Self { kty: "OKP", crv: "Ed25519", x, kid: key.id, alg: "EdDSA", r#use: "sig" }
    }
}

#[cfg(test)]
mod tests {
    use pasetors::{keys::AsymmetricPublicKey, version4::V4};

    use super::*;
    use crate::keys::testing::bytes;

    /// `PASERK/k4.public.json` and `PASERK/k4.pid.json` of <https://github.com/paseto-standard/test-vectors>, as in
    /// pasetors 0.8.1.
    #[test]
    fn published_keys_match_the_vectors() {
        let bytes = bytes("707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f");
        let public = AsymmetricPublicKey::<V4>::from(&bytes).expect("32 bytes");
        let key = PublishedKey {
            id: "k4.pid.9ShR3xc8-qVJ_di0tc9nx0IDIqbatdeM2mqLFBJsKRHs",
            state: KeyState::Next,
            public: &public,
        };

        let set = set([PaserkKey::from(key)].into_iter());

        insta::assert_snapshot!(set, @r#"{"keys":[{"kid":"k4.pid.9ShR3xc8-qVJ_di0tc9nx0IDIqbatdeM2mqLFBJsKRHs","paserk":"k4.public.cHFyc3R1dnd4eXp7fH1-f4CBgoOEhYaHiImKi4yNjo8","state":"next"}]}"#);
    }
}
