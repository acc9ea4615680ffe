//! The conversion of Redis errors.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::StoreError;

/// The name of the store in errors and logs.
pub(super) const STORE: &str = "Redis";

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::misconfigured(STORE, &error),
            ErrorKind::Server(ServerErrorKind::ResponseError) if is_denied_command(&error) => {
                Self::misconfigured(STORE, &error)
            }
            ErrorKind::UnexpectedReturnType => Self::corrupt(STORE, &error),
            ErrorKind::Server(ServerErrorKind::ResponseError) if is_script_failure(&error) => {
                Self::corrupt(STORE, &error)
            }
            ErrorKind::Extension if error.code() == Some("WRONGTYPE") => Self::corrupt(STORE, &error),
            _ => Self::unavailable(STORE, &error),
        }
    }
}

/// Returns whether Redis has no such command, because it is disabled or renamed, or denies it to a script.
fn is_denied_command(error: &RedisError) -> bool {
    const BEGINNINGS: [&str; 3] =
        ["unknown command", "Unknown Redis command called from script", "The user executing the script can't"];
    error.detail().is_some_and(|detail| BEGINNINGS.iter().any(|beginning| detail.starts_with(beginning)))
}

/// Returns whether a script met data that no script writes, such as a text instead of a number. Redis puts errors of commands
/// in scripts under their own codes.
fn is_script_failure(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.starts_with("user_script:"))
}
