//! Tokens and keys are exchanged with other implementations, in both directions.

use std::{error::Error, fs, sync::Arc, time::Duration};

use paseto_core::{
    encodings::{Payload, WriteBytes},
    validation::NoValidation,
};
use paseto_v4::{PublicKey, SecretKey, SignedToken, UnsignedToken};
use postern::{
    clock::{Clock as _, SystemClock, rfc3339},
    keys::{self, LiveKeyring},
    model::{SessionId, UserId},
    tokens::{AccessFormat, AccessTokenError, AccessTokens, KeySetFormat},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

/// A service with its key, and that key as in its file.
struct Issuer {
    keys: Arc<LiveKeyring>,
    /// `k4.secret.…`
    secret: String,
    now: OffsetDateTime,
}

impl Issuer {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let now = SystemClock.now();
        let made = keys::generate(directory.path(), now).expect("keys can be made");
        let secret = fs::read_to_string(directory.path().join(&made[0].file)).expect("a text");
        let keys = Arc::new(LiveKeyring::open(directory.path()).expect("keys can be read"));
        Self { keys, secret: secret.trim().to_owned(), now }
    }

    fn tokens(&self, format: AccessFormat) -> AccessTokens {
        let named = || "postern".to_owned();
        AccessTokens::new(Arc::clone(&self.keys), format, named(), named()).expect("short tokens")
    }

    fn token(&self, format: AccessFormat) -> String {
        let (user, session) = (UserId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)));
        self.tokens(format).issue(user, session, self.now, self.now + Duration::from_mins(5))
    }

    /// Returns the only published key.
    fn published(&self, set: KeySetFormat) -> Value {
        let set: Value = serde_json::from_str(&self.tokens(AccessFormat::Paseto).published_keys(set)).expect("JSON");
        set["keys"][0].clone()
    }

    /// The token has our claims, whatever signed it.
    #[track_caller]
    fn expect_ours(&self, token: &str) {
        for format in AccessFormat::ALL {
            let claims = self.tokens(*format).verify_now(token, self.now).expect("a good token");
            assert_eq!((claims.subject.0.as_u128(), claims.session.0.as_u128()), (1, 2));
        }
    }

    /// Returns the claims of a token in a format, as other libraries write them.
    fn claims(&self, format: AccessFormat) -> Value {
        let (issued, expires) = (self.now, self.now + Duration::from_mins(5));
        let (user, session) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut claims = json!({"iss": "postern", "aud": "postern", "sub": user, "jti": "x", "sid": session});
        let own = if format == AccessFormat::Paseto {
            json!({
                "iat": rfc3339(issued), "nbf": rfc3339(issued - Duration::from_secs(30)), "exp": rfc3339(expires),
            })
        } else {
            json!({
                "iat": issued.unix_timestamp(), "exp": expires.unix_timestamp(),
                "token_type": "access", "user_id": user,
            })
        };
        for (name, value) in own.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}"))
}

/// A payload in JSON, for the other implementation.
struct Claims(Value);

impl Payload for Claims {
    const SUFFIX: &'static str = "";

    fn encode(self, mut writer: impl WriteBytes) -> Result<(), Box<dyn Error + Send + Sync>> {
        writer.write(&serde_json::to_vec(&self.0)?);
        Ok(())
    }

    fn decode(payload: &[u8]) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self(serde_json::from_slice(payload)?))
    }
}

fn pasetos() -> impl Iterator<Item = AccessFormat> {
    AccessFormat::ALL.iter().copied().filter(|format| format.key_set() == KeySetFormat::Paserk)
}

#[test]
fn other_paseto_library_verifies_our_tokens() {
    let issuer = Issuer::new();
    let published = issuer.published(KeySetFormat::Paserk);
    let key: PublicKey = text(&published["paserk"]).parse().expect("a PASERK");
    for format in pasetos() {
        let token: SignedToken<Claims, Vec<u8>> = issuer.token(format).parse().expect("a PASETO");

        let footer: Value = serde_json::from_slice(token.unverified_footer()).expect("JSON");
        assert_eq!(footer, json!({"kid": published["kid"]}));
        let verified = token.verify(&key, &NoValidation::dangerous_no_validation()).expect("a good signature");
        let mut claims = issuer.claims(format);
        claims["jti"] = verified.claims.0["jti"].clone();
        assert_eq!(verified.claims.0, claims, "{format}");
    }
}

#[test]
fn other_paserk_library_computes_the_same_key_id() {
    let issuer = Issuer::new();
    let published = issuer.published(KeySetFormat::Paserk);
    let secret: SecretKey = issuer.secret.parse().expect("a PASERK");

    let public = secret.public_key();

    assert_eq!(public.to_string(), text(&published["paserk"]));
    assert_eq!(public.id().to_string(), text(&published["kid"]));
}

#[test]
fn we_verify_tokens_of_another_paseto_library() {
    let issuer = Issuer::new();
    let secret: SecretKey = issuer.secret.parse().expect("a PASERK");
    let footer = json!({"kid": issuer.published(KeySetFormat::Paserk)["kid"]}).to_string();
    for format in pasetos() {
        let token = UnsignedToken::new(Claims(issuer.claims(format))).with_footer(footer.clone().into_bytes());
        let token = token.sign(&secret).expect("it can be signed").to_string();

        issuer.expect_ours(&token);
    }
}

#[test]
fn we_sign_with_a_key_of_another_paseto_library() {
    let (directory, now) = (tempfile::tempdir().expect("a temporary directory"), SystemClock.now());
    let made = keys::generate(directory.path(), now).expect("keys can be made").remove(0);
    let theirs = SecretKey::random().expect("a key");
    let manifest = directory.path().join(keys::MANIFEST);
    let text = fs::read_to_string(&manifest).expect("a text");
    fs::write(&manifest, text.replace(&made.id, &theirs.public_key().id().to_string())).expect("it can be written");
    fs::write(directory.path().join(made.file), theirs.expose_key().to_string()).expect("it can be written");

    let keys = Arc::new(LiveKeyring::open(directory.path()).expect("keys can be read"));
    let issuer = Issuer { keys, secret: theirs.expose_key().to_string(), now };

    for format in pasetos() {
        let token: SignedToken<Claims, Vec<u8>> = issuer.token(format).parse().expect("a PASETO");
        let verified = token.verify(&theirs.public_key(), &NoValidation::dangerous_no_validation());
        assert_eq!(verified.expect("a good signature").claims.0["sub"], Uuid::from_u128(1).to_string(), "{format}");
    }
}

#[test]
fn tokens_of_another_key_are_refused_by_both_libraries() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let key: PublicKey = text(&issuer.published(KeySetFormat::Paserk)["paserk"]).parse().expect("a PASERK");
    for format in pasetos() {
        let token = other.token(format);

        let theirs: SignedToken<Claims, Vec<u8>> = token.parse().expect("a PASETO");
        assert!(theirs.verify(&key, &NoValidation::dangerous_no_validation()).is_err(), "{format}");
        assert_eq!(issuer.tokens(format).verify_now(&token, issuer.now), Err(AccessTokenError::Invalid), "{format}");
    }
}

/// JWTs by another implementation.
#[cfg(feature = "jwt")]
mod jwt {
    use jsonwebtoken::{
        Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode, errors::ErrorKind,
        jwk::JwkSet,
    };

    use super::*;

    /// Verifies as a service does, by the key that the header names.
    fn verified(token: &str, published: &str) -> Result<Value, jsonwebtoken::errors::Error> {
        let keys: JwkSet = serde_json::from_str(published).expect("a JWK Set");
        let kid = decode_header(token)?.kid.expect("a key id");
        let key = keys.find(&kid).expect("a published key");
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&["postern"]);
        validation.set_audience(&["postern"]);
        validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
        Ok(decode(token, &DecodingKey::from_jwk(key)?, &validation)?.claims)
    }

    /// Our secret key as PKCS #8 (RFC 8410, section 7): a frame that is always the same around the seed, which is the
    /// first half of it.
    fn secret_key(issuer: &Issuer) -> EncodingKey {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let secret = issuer.secret.strip_prefix("k4.secret.").expect("a PASERK");
        let secret = URL_SAFE_NO_PAD.decode(secret).expect("base64url");
        let frame = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
        EncodingKey::from_ed_der(&[frame, &secret[..32]].concat())
    }

    #[test]
    fn other_jwt_library_verifies_our_tokens_by_our_jwk_set() {
        let issuer = Issuer::new();
        let tokens = issuer.tokens(AccessFormat::Jwt);
        let token = issuer.token(AccessFormat::Jwt);

        let verified = verified(&token, &tokens.published_keys(KeySetFormat::Jwk)).expect("a good token");

        let mut claims = issuer.claims(AccessFormat::Jwt);
        claims["jti"] = verified["jti"].clone();
        assert_eq!(verified, claims);
        assert_eq!(decode_header(&token).expect("a header").typ.as_deref(), Some("JWT"));
    }

    #[test]
    fn other_jwt_library_refuses_a_token_with_one_changed_character() {
        let issuer = Issuer::new();
        let published = issuer.tokens(AccessFormat::Jwt).published_keys(KeySetFormat::Jwk);
        let token = issuer.token(AccessFormat::Jwt);

        let place = token.rfind('.').expect("a signature") + 1;
        let other = if token[place..].starts_with('A') { "B" } else { "A" };
        let tampered = format!("{}{other}{}", &token[..place], &token[place + 1..]);

        let error = verified(&tampered, &published).expect_err("tampered with");
        assert!(matches!(error.kind(), ErrorKind::InvalidSignature), "{error}");
    }

    #[test]
    fn we_verify_tokens_of_another_jwt_library() {
        let issuer = Issuer::new();
        let kid = text(&issuer.published(KeySetFormat::Jwk)["kid"]).to_owned();
        let header = Header { kid: Some(kid), ..Header::new(Algorithm::EdDSA) };

        let token = encode(&header, &issuer.claims(AccessFormat::Jwt), &secret_key(&issuer)).expect("it can be signed");

        issuer.expect_ours(&token);
    }
}
