//! JWTs: the signature (JWS compact serialization, RFC 7515; `EdDSA` with Ed25519, RFC 8037), and JWT claims (RFC 7519,
//! section 4.1, and the two that Django's Simple JWT adds).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_compact::SecretKey;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    keys::{Keyring, VerifyError},
    model::{SessionId, UserId},
    tokens::Claims,
};

/// Prefix of every token: `{"` in base64url.
pub const PREFIX: &str = "eyJ";

/// The only algorithm. Without a table of algorithms, a token cannot select `none` or a MAC with the public key.
const ALGORITHM: &str = "EdDSA";

const TYPE: &str = "JWT";

/// Value of `token_type`, by which other services distinguish access tokens from refresh tokens.
const TOKEN_TYPE: &str = "access";

/// Exactly these fields: an unknown one may change the meaning of the signature, as `crit` does (RFC 7515, section 4.1.11).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

/// Signs a payload with the active key, which the header names.
pub fn sign(payload: &[u8], keyring: &Keyring) -> String {
    let key = keyring.signing();
    let header = Header { alg: ALGORITHM.to_owned(), kid: key.id.clone(), typ: TYPE.to_owned() };
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(to_json(&header)), URL_SAFE_NO_PAD.encode(payload));
    let secret = SecretKey::from_slice(key.secret.as_bytes());
    let secret = secret.unwrap_or_else(|_| unreachable!("a v4 secret key is an Ed25519 key"));
    let signature = URL_SAFE_NO_PAD.encode(secret.sign(&signed, None));
    format!("{signed}.{signature}")
}

/// Verifies the signature of a token and returns its payload.
pub fn verify(token: &str, keyring: &Keyring) -> Result<Vec<u8>, VerifyError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(VerifyError::Invalid)?;
    let (header, payload) = signed.split_once('.').ok_or(VerifyError::Invalid)?;
    let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| VerifyError::Invalid)?;
    if header.alg != ALGORITHM || header.typ != TYPE {
        return Err(VerifyError::Invalid);
    }
    // If there are more than three parts, this one contains a `.`, which base64url rejects.
    let payload = decoded(payload)?;
    let signature = decoded(signature)?;
    let key = keyring.verifying(&header.kid).ok_or(VerifyError::UnknownKey)?;
    if !key.is_signed(signed.as_bytes(), &signature) {
        return Err(VerifyError::Invalid);
    }
    Ok(payload)
}

/// Decodes base64url. The engine rejects padding, foreign characters and trailing bits, so each token has only one text.
fn decoded(part: &str) -> Result<Vec<u8>, VerifyError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| VerifyError::Invalid)
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|_| unreachable!("strings, numbers and ids always serialize"))
}

/// Exactly these claims; times are `NumericDate`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtPayload {
    iss: String,
    sub: Uuid,
    aud: String,
    iat: i64,
    exp: i64,
    jti: String,
    sid: Uuid,
    token_type: String,
    user_id: Uuid,
}

/// Returns the claims as JSON.
pub fn encode(claims: &Claims) -> Vec<u8> {
    to_json(&JwtPayload {
        iss: claims.issuer.clone(),
        sub: claims.subject.0,
        aud: claims.audience.clone(),
        iat: claims.issued.unix_timestamp(),
        exp: claims.expires.unix_timestamp(),
        jti: claims.id.clone(),
        sid: claims.session.0,
        token_type: TOKEN_TYPE.to_owned(),
        user_id: claims.subject.0,
    })
}

/// Returns the claims of a payload, or `None` if [`encode`] did not write it.
pub fn decode(payload: &[u8]) -> Option<Claims> {
    let payload: JwtPayload = serde_json::from_slice(payload).ok()?;
    if payload.token_type != TOKEN_TYPE || payload.user_id != payload.sub {
        return None;
    }
    Some(Claims {
        issuer: payload.iss,
        subject: UserId(payload.sub),
        audience: payload.aud,
        issued: OffsetDateTime::from_unix_timestamp(payload.iat).ok()?,
        expires: OffsetDateTime::from_unix_timestamp(payload.exp).ok()?,
        id: payload.jti,
        session: SessionId(payload.sid),
    })
}

#[cfg(test)]
mod tests {
    use pasetors::keys::AsymmetricSecretKey;

    use super::*;
    use crate::{
        keys::{VerifyingKey, testing::bytes},
        tokens::KeySetFormat,
    };

    /// RFC 8032, section 7.1, tests 1 to 3: public key, message, signature.
    #[test]
    fn published_signatures_are_verified_and_others_rejected() {
        for (public, message, signature) in [
            (
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ] {
            let (public, message, signature) = (bytes(public), bytes(message), bytes(signature));
            let key = VerifyingKey::from_bytes(&public).expect("a key");
            assert!(key.is_signed(&message, &signature));

            assert!(!key.is_signed(&[&message[..], b"x"].concat(), &signature));
            for index in [0, 31, 32, 63] {
                let mut other = signature.clone();
                other[index] ^= 1;
                assert!(!key.is_signed(&message, &other), "{index}");
            }
            assert!(!key.is_signed(&message, &signature[..63]));
        }
    }

    /// RFC 8037, appendix A: the key of A.1 and A.2, its thumbprint of A.3 as the key id, and the signature of A.4.
    #[test]
    fn published_key_matches_the_rfc_with_its_signature() {
        const D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
        const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        const KEY_ID: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
        const SIGNED: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        const SIGNATURE: &str =
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let secret = [decoded(D).expect("base64url"), decoded(X).expect("base64url")].concat();
        let keyring = Keyring::single(KEY_ID, AsymmetricSecretKey::from(&secret).expect("64 bytes"));

        let set: serde_json::Value = serde_json::from_str(&KeySetFormat::Jwk.of(&keyring)).expect("JSON");
        insta::assert_json_snapshot!(set, @r#"
        {
          "keys": [
            {
              "alg": "EdDSA",
              "crv": "Ed25519",
              "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
              "kty": "OKP",
              "use": "sig",
              "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
            }
          ]
        }
        "#);
        let key = VerifyingKey::from_bytes(&decoded(X).expect("base64url")).expect("a key");
        assert!(key.is_signed(SIGNED.as_bytes(), &decoded(SIGNATURE).expect("base64url")));
        // The RFC's token names no key, so it is rejected.
        assert_eq!(verify(&format!("{SIGNED}.{SIGNATURE}"), &keyring), Err(VerifyError::Invalid));
        let ours = sign(b"Example of Ed25519 signing", &keyring);
        assert_eq!(verify(&ours, &keyring), Ok(b"Example of Ed25519 signing".to_vec()));
    }
}
