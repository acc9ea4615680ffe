//! Errors of Redis.

use redis::RedisError;

use crate::store::StoreError;

pub const STORE: &str = "Redis";

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        Self::unavailable(STORE, &error)
    }
}
