//! The stores of a configuration.

use std::path::PathBuf;

use crate::store::{postgres::PostgresUrl, redis::RedisUrl};

/// The stores of users and sessions.
#[derive(Debug)]
pub enum Stores {
    /// The embedded store in the data directory.
    Embedded,
    /// Users in PostgreSQL, sessions in Redis.
    PostgresRedis(Box<PostgresUrl>, Box<RedisUrl>),
}

/// The directories of the embedded store.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// The directory of the store.
    pub data_dir: PathBuf,
    /// The directory of the keys.
    pub keys_dir: PathBuf,
}
