//! Claims of access tokens.

use time::OffsetDateTime;

use crate::model::{SessionId, UserId};

/// The claims of an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The issuer (`iss`).
    pub issuer: String,
    /// The user who signed in (`sub`).
    pub subject: UserId,
    /// The audience (`aud`).
    pub audience: String,
    /// Time of issue, in whole seconds.
    pub issued: OffsetDateTime,
    /// Expiry, in whole seconds: the first second in which the token is rejected.
    pub expires: OffsetDateTime,
    /// Unique id of this token: a random UUID in base64url, which is shorter than the usual text form.
    pub id: String,
    /// The session that must still be valid.
    pub session: SessionId,
}
