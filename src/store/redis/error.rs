//! The conversion of Redis errors.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::denial::explain_denial;
use crate::store::StoreError;

/// The name of the store in errors and logs.
pub(super) const STORE: &str = "Redis";

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        if let Some(explanation) = explain_denial(&error) {
            return Self::misconfigured(STORE, &explanation);
        }
        match error.kind() {
            ErrorKind::UnexpectedReturnType => Self::corrupt(STORE, &error),
            ErrorKind::Server(ServerErrorKind::ResponseError) if is_script_failure(&error) => {
                Self::corrupt(STORE, &error)
            }
            ErrorKind::Extension if error.code() == Some("WRONGTYPE") => Self::corrupt(STORE, &error),
            _ => Self::unavailable(STORE, &error),
        }
    }
}

/// Returns whether a script met data that no script writes, such as a text instead of a number. Redis puts errors of commands
/// in scripts under their own codes.
fn is_script_failure(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.starts_with("user_script:"))
}
