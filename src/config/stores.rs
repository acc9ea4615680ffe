//! Where users and sessions are stored.

use std::path::PathBuf;

use crate::store::{postgres::PostgresUrl, redis::RedisUrl};

/// Where users and sessions are kept.
#[derive(Debug)]
pub enum Stores {
    /// In the data directory.
    Embedded,
    /// Users in PostgreSQL, sessions in Redis.
    PostgresRedis(Box<PostgresUrl>, Box<RedisUrl>),
}

/// Where the embedded store is, and its keys.
#[derive(Debug)]
pub struct EmbeddedConfig {
    /// The directory of the store.
    pub data_dir: PathBuf,
    /// The directory of the keys.
    pub keys_dir: PathBuf,
}
