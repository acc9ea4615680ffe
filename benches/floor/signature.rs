//! Access tokens of the floor program: an Ed25519 signature by the fastest library, and the text around it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use postern::clock::{Clock as _, SystemClock, rfc3339};
use ring::signature::Ed25519KeyPair;
use uuid::Uuid;

/// The footer of an access token, which names its key.
const FOOTER: &str = r#"{"kid":"k4.pid.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;

/// A key.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// Creates the same key each time.
    pub fn new() -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes"))
    }

    /// Returns a token of the length of Postern's.
    pub fn token(&self, user: Uuid, session: Uuid) -> String {
        let now = rfc3339(SystemClock.now());
        let id = URL_SAFE_NO_PAD.encode(session.as_bytes());
        let claims = format!(
            r#"{{"iss":"postern","sub":"{user}","aud":"postern","iat":"{now}","nbf":"{now}","exp":"{now}","jti":"{id}","sid":"{session}"}}"#
        );
        let mut signed = claims.into_bytes();
        let signature = self.0.sign(&signed);
        signed.extend_from_slice(signature.as_ref());
        format!("v4.public.{}.{}", URL_SAFE_NO_PAD.encode(&signed), URL_SAFE_NO_PAD.encode(FOOTER))
    }
}
