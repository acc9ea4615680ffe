//! JWT-shaped claims (RFC 7519, section 4.1, and the two that Django's Simple JWT adds), for services that expect them.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Claims;
use crate::accounts::{SessionId, UserId};

/// Exactly these claims, times as `NumericDate`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    iss: String,
    sub: Uuid,
    aud: String,
    iat: i64,
    exp: i64,
    jti: String,
    sid: Uuid,
    token_type: TokenType,
    user_id: Uuid,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TokenType {
    Access,
}

/// The claims as a JSON object.
pub fn encode(claims: &Claims) -> Vec<u8> {
    let payload = Payload {
        iss: claims.issuer.clone(),
        sub: claims.subject.0,
        aud: claims.audience.clone(),
        iat: claims.issued.unix_timestamp(),
        exp: claims.expires.unix_timestamp(),
        jti: claims.id.clone(),
        sid: claims.session.0,
        token_type: TokenType::Access,
        user_id: claims.subject.0,
    };
    serde_json::to_vec(&payload).unwrap_or_else(|_| unreachable!("texts, numbers and ids are always JSON"))
}

/// The claims that [`encode`] wrote; `None` for any other payload.
pub fn decode(payload: &[u8]) -> Option<Claims> {
    let payload: Payload = serde_json::from_slice(payload).ok()?;
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
