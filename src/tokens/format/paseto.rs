//! PASETO `v4.public` (PASETO specification, version 4; Ed25519 of RFC 8032), and the claims of the default format.

use pasetors::{
    Public,
    token::UntrustedToken,
    version4::{PublicToken, V4},
};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{
    clock::rfc3339,
    keys::{Keyring, VerifyError},
    model::{SessionId, UserId},
    tokens::Claims,
};

/// Prefix of every token of this version and purpose.
pub const PREFIX: &str = "v4.public.";

/// How far a verifier's clock may lag behind before it rejects a new token as not yet valid.
const NOT_BEFORE_LEEWAY: Duration = Duration::seconds(30);

/// Signs a non-empty payload with the active key, which the footer names.
pub fn sign(payload: &[u8], keyring: &Keyring) -> String {
    let key = keyring.signing();
    PublicToken::sign(&key.secret, payload, Some(key.footer.as_bytes()), None)
        .unwrap_or_else(|_| unreachable!("a valid key signs any non-empty payload"))
}

/// Verifies the signature of a token and returns its payload.
pub fn verify(token: &str, keyring: &Keyring) -> Result<Vec<u8>, VerifyError> {
    let token = UntrustedToken::<Public, V4>::try_from(token).map_err(|_| VerifyError::Invalid)?;
    let footer = token.untrusted_footer();
    let named: Footer = serde_json::from_slice(footer).map_err(|_| VerifyError::Invalid)?;
    let key = keyring.verifying(&named.kid).ok_or(VerifyError::UnknownKey)?;
    let payload = token.untrusted_payload();
    let signature = &token.untrusted_message()[payload.len()..];
    // The last piece is the implicit assertion, which our tokens do not use.
    if !key.is_signed(&pre_authenticated([PREFIX.as_bytes(), payload, footer, &[]]), signature) {
        return Err(VerifyError::Invalid);
    }
    Ok(payload.to_owned())
}

/// Returns the signed bytes of a token (PASETO specification, common implementation details, PAE): the number of pieces, and
/// each piece after its length.
fn pre_authenticated(pieces: [&[u8]; 4]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(pieces.map(|piece| 8 + piece.len()).iter().sum::<usize>() + 8);
    encoded.extend_from_slice(&(pieces.len() as u64).to_le_bytes());
    for piece in pieces {
        encoded.extend_from_slice(&(piece.len() as u64).to_le_bytes());
        encoded.extend_from_slice(piece);
    }
    encoded
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    kid: String,
}

/// Exactly these claims: the registered ones (PASETO specification, implementation guide, part 4) and `sid`. Times are
/// RFC 3339.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PasetoPayload {
    iss: String,
    sub: Uuid,
    aud: String,
    iat: String,
    nbf: String,
    exp: String,
    jti: String,
    sid: Uuid,
}

/// Returns the claims as JSON.
pub fn encode(claims: &Claims) -> Vec<u8> {
    let payload = PasetoPayload {
        iss: claims.issuer.clone(),
        sub: claims.subject.0,
        aud: claims.audience.clone(),
        iat: rfc3339(claims.issued),
        nbf: rfc3339(claims.issued - NOT_BEFORE_LEEWAY),
        exp: rfc3339(claims.expires),
        jti: claims.id.clone(),
        sid: claims.session.0,
    };
    serde_json::to_vec(&payload).unwrap_or_else(|_| unreachable!("strings and ids always serialize"))
}

/// Returns the claims of a payload, or `None` if [`encode`] did not write it.
pub fn decode(payload: &[u8]) -> Option<Claims> {
    let payload: PasetoPayload = serde_json::from_slice(payload).ok()?;
    // Only other verifiers use it; Postern decides by the expiry alone.
    OffsetDateTime::parse(&payload.nbf, &Rfc3339).ok()?;
    Some(Claims {
        issuer: payload.iss,
        subject: UserId(payload.sub),
        audience: payload.aud,
        issued: OffsetDateTime::parse(&payload.iat, &Rfc3339).ok()?,
        expires: OffsetDateTime::parse(&payload.exp, &Rfc3339).ok()?,
        id: payload.jti,
        session: SessionId(payload.sid),
    })
}

#[cfg(test)]
mod tests {
    use pasetors::keys::AsymmetricSecretKey;

    use super::*;
    use crate::keys::testing::bytes;

    // `v4.json` of <https://github.com/paseto-standard/test-vectors> at d26d2dd8d45d.
    const SECRET: &str = "b4cbfb43df4ce210727d953e4a713307fa19bb7d9f85041438d9e11b942a37741eb9dbbbbc047c03fd70604e0071f0987e16b28b757225c11f00415d0e20b1a2";
    const KEY_ID: &str = "zVhMiPBP9fRf2snEcT7gFTioeA9COcNy9DfgL1W60haN";
    const PAYLOAD: &str = r#"{"data":"this is a signed message","exp":"2022-01-01T00:00:00+00:00"}"#;
    const S_1: &str = "v4.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0wMVQwMDowMDowMCswMDowMCJ9bg_XBBzds8lTZShVlwwKSgeKpLT3yukTw6JUz3W4h_ExsQV-P0V54zemZDcAxFaSeef1QlXEFtkqxT1ciiQEDA";
    const S_2: &str = "v4.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0wMVQwMDowMDowMCswMDowMCJ9v3Jt8mx_TdM2ceTGoqwrh4yDFn0XsHvvV_D0DtwQxVrJEBMl0F2caAdgnpKlt4p7xBnx1HcO-SPo8FPp214HDw.eyJraWQiOiJ6VmhNaVBCUDlmUmYyc25FY1Q3Z0ZUaW9lQTlDT2NOeTlEZmdMMVc2MGhhTiJ9";
    const S_3: &str = "v4.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0wMVQwMDowMDowMCswMDowMCJ9NPWciuD3d0o5eXJXG5pJy-DiVEoyPYWs1YSTwWHNJq6DZD3je5gf-0M4JR9ipdUSJbIovzmBECeaWmaqcaP0DQ.eyJraWQiOiJ6VmhNaVBCUDlmUmYyc25FY1Q3Z0ZUaW9lQTlDT2NOeTlEZmdMMVc2MGhhTiJ9";
    const FAILURES: [&str; 4] = [
        "v4.local.vngXfCISbnKgiP6VWGuOSlYrFYU300fy9ijW33rznDYgxHNPwWluAY2Bgb0z54CUs6aYYkIJ-bOOOmJHPuX_34Agt_IPlNdGDpRdGNnBz2MpWJvB3cttheEc1uyCEYltj7wBQQYX.YXJiaXRyYXJ5LXN0cmluZy10aGF0LWlzbid0LWpzb24",
        "v4.public.eyJpbnZhbGlkIjoidGhpcyBzaG91bGQgbmV2ZXIgZGVjb2RlIn22Sp4gjCaUw0c7EH84ZSm_jN_Qr41MrgLNu5LIBCzUr1pn3Z-Wukg9h3ceplWigpoHaTLcwxj0NsI1vjTh67YB.eyJraWQiOiJ6VmhNaVBCUDlmUmYyc25FY1Q3Z0ZUaW9lQTlDT2NOeTlEZmdMMVc2MGhhTiJ9",
        "v3.local.23e_2PiqpQBPvRFKzB0zHhjmxK3sKo2grFZRRLM-U7L0a8uHxuF9RlVz3Ic6WmdUUWTxCaYycwWV1yM8gKbZB2JhygDMKvHQ7eBf8GtF0r3K0Q_gF1PXOxcOgztak1eD1dPe9rLVMSgR0nHJXeIGYVuVrVoLWQ.YXJiaXRyYXJ5LXN0cmluZy10aGF0LWlzbid0LWpzb24",
        "v4.local.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQAr68PS4AXe7If_ZgesdkUMvSwscFlAl1pk5HC0e8kApeaqMfGo_7OpBnwJOAbY9V7WU6abu74MmcUE8YWAiaArVI8XJ5hOb_4v9RmDkneN0S92dx0OW4pgy7omxgf3S8c3LlQh",
    ];

    fn keyring() -> Keyring {
        Keyring::single(KEY_ID, AsymmetricSecretKey::from(&bytes(SECRET)).expect("64 bytes"))
    }

    #[test]
    fn published_token_is_signed_and_verified() {
        assert_eq!(sign(PAYLOAD.as_bytes(), &keyring()), S_2);
        assert_eq!(verify(S_2, &keyring()), Ok(PAYLOAD.as_bytes().to_vec()));
    }

    /// The first token names no key, and the second needs an implicit assertion.
    #[test]
    fn published_tokens_of_other_uses_are_rejected() {
        for token in [S_1, S_3] {
            assert_eq!(verify(token, &keyring()), Err(VerifyError::Invalid), "{token}");
        }
    }

    #[test]
    fn published_invalid_tokens_are_rejected() {
        for token in FAILURES {
            assert_eq!(verify(token, &keyring()), Err(VerifyError::Invalid), "{token}");
        }
    }
}
