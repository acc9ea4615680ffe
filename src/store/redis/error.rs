//! The conversion of Redis errors.

use redis::RedisError;

use crate::store::StoreError;

/// The name of the store in errors and logs.
pub(super) const STORE: &str = "Redis";

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        Self::unavailable(STORE, &error)
    }
}
