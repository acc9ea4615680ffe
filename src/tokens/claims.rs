//! Claims of access tokens.

use time::OffsetDateTime;

use crate::model::{SessionId, UserId};

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
