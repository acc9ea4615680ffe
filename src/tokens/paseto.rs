//! PASETO `v4.public` (the PASETO specification, version 4; Ed25519 by RFC 8032), and the claims of the default format.

use pasetors::{
    Public,
    token::UntrustedToken,
    version4::{PublicToken, V4},
};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{Claims, keyring::Keyring};
use crate::{
    accounts::{SessionId, UserId},
    clock::rfc3339,
};

/// How far a verifier's clock may lag behind ours before it finds a new token not yet valid.
const NOT_BEFORE_LEEWAY: Duration = Duration::seconds(30);

/// Signs a payload with the active key, which the footer names.
pub fn sign(payload: &[u8], keyring: &Keyring) -> String {
    let key = keyring.signing();
    PublicToken::sign(&key.secret, payload, Some(key.footer.as_bytes()), None)
        .unwrap_or_else(|_| unreachable!("a key from the keyring signs whatever is not empty"))
}

/// The payload of a token that a key of the keyring has signed.
pub fn verify(token: &str, keyring: &Keyring) -> Option<Vec<u8>> {
    let token = UntrustedToken::<Public, V4>::try_from(token).ok()?;
    let footer = token.untrusted_footer();
    let named: Footer = serde_json::from_slice(footer).ok()?;
    let key = keyring.verifying(&named.kid)?;
    let trusted = PublicToken::verify(key, &token, Some(footer), None).ok()?;
    Some(trusted.payload().as_bytes().to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    kid: String,
}

/// The registered claims of PASETO (its specification, implementation guide, part 4), times as RFC 3339 texts.
#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    sub: Uuid,
    aud: String,
    iat: String,
    nbf: String,
    exp: String,
    jti: String,
    sid: Uuid,
}

/// The claims as the payload of the default format.
pub fn encode(claims: &Claims) -> Vec<u8> {
    let payload = Payload {
        iss: claims.issuer.clone(),
        sub: claims.subject.0,
        aud: claims.audience.clone(),
        iat: rfc3339(claims.issued),
        nbf: rfc3339(claims.issued - NOT_BEFORE_LEEWAY),
        exp: rfc3339(claims.expires),
        jti: claims.id.clone(),
        sid: claims.session.0,
    };
    serde_json::to_vec(&payload).unwrap_or_else(|_| unreachable!("texts and ids are always JSON"))
}

/// The claims that [`encode`] wrote; `None` for any other payload.
pub fn decode(payload: &[u8]) -> Option<Claims> {
    let payload: Payload = serde_json::from_slice(payload).ok()?;
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
