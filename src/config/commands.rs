//! The settings of the commands.

use std::{path::PathBuf, time::Duration};

use super::{
    hash_budget::{memory_limit, share},
    reader::Reader,
    setting::ConfigError,
    settings::{DATA_DIR, DATABASE, PASSWORD_MIN_LENGTH, REDIS},
    stores::EmbeddedConfig,
    values::Values,
};
use crate::{accounts::Lifetimes, keys::KeyTimes, passwords::HasherSettings, store::postgres::PostgresUrl};

/// The database that `migrate` is for.
///
/// # Errors
/// Where it is not set, or not a URL.
pub fn for_migrate(values: &Values) -> Result<PostgresUrl, Vec<ConfigError>> {
    let mut reader = Reader::new(values);
    let url = reader.url(&DATABASE);
    if !reader.is_set(&DATABASE) {
        reader.error(
            &DATABASE.url,
            "not set: expected the URL of PostgreSQL (the embedded store migrates when a server starts)",
        );
    }
    reader.finish(url).and_then(|url| url.ok_or_else(Vec::new))
}

/// What commands about users need.
#[derive(Debug)]
pub struct UsersConfig {
    /// Where users are kept.
    pub store: UsersStore,
    /// How passwords are hashed.
    pub hashing: HasherSettings,
    /// The shortest new password, in code points.
    pub password_min_length: usize,
}

/// Where users are kept, wherever sessions are.
#[derive(Debug)]
pub enum UsersStore {
    /// In the data directory.
    Embedded(EmbeddedConfig),
    /// In PostgreSQL.
    Postgres(Box<PostgresUrl>),
}

/// What commands about users need: the users' store alone.
///
/// # Errors
/// Every mistake.
pub fn for_users(values: &Values) -> Result<UsersConfig, Vec<ConfigError>> {
    let mut reader = Reader::new(values);
    let config = UsersConfig {
        store: match reader.url(&DATABASE) {
            Some(url) => UsersStore::Postgres(Box::new(url)),
            None => UsersStore::Embedded(reader.embedded()),
        },
        // One password: nobody waits behind it.
        hashing: HasherSettings { threads: 1, max_wait: Duration::from_mins(1), ..reader.hashing() },
        password_min_length: reader.read(&PASSWORD_MIN_LENGTH),
    };
    reader.finish(config)
}

/// The embedded store that `backup` is for.
///
/// # Errors
/// Where the stores are not embedded.
pub fn for_backup(values: &Values) -> Result<EmbeddedConfig, Vec<ConfigError>> {
    let mut reader = Reader::new(values);
    if reader.is_set(&DATABASE) {
        reader
            .error(&DATABASE.url, "set: expected the embedded store (back up PostgreSQL with pg_dump or base backups)");
    }
    let embedded = reader.embedded();
    reader.finish(embedded)
}

/// What commands about keys need.
#[derive(Debug)]
pub struct KeysConfig {
    /// The directory of the keys.
    pub directory: PathBuf,
    /// What the times of keys follow from.
    pub times: KeyTimes,
}

/// What commands about keys need.
///
/// # Errors
/// Every mistake.
pub fn for_keys(values: &Values) -> Result<KeysConfig, Vec<ConfigError>> {
    let mut reader = Reader::new(values);
    let is_embedded = !reader.is_set(&DATABASE) && !reader.is_set(&REDIS);
    let data_dir = reader.read(&DATA_DIR);
    let Lifetimes { access, session, published_keys, .. } = reader.lifetimes();
    let config = KeysConfig {
        directory: reader.keys_dir(is_embedded, &data_dir),
        times: KeyTimes { max_age: published_keys, access, refresh: session },
    };
    reader.finish(config)
}

/// What `calibrate` needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalibrationConfig {
    /// How many threads hash at once.
    pub threads: usize,
    /// The most memory that each of them can have, in bytes; `None` where no limit is known.
    pub memory: Option<u64>,
}

/// What `calibrate` needs: how many threads a server would hash on, and what it could give each of them.
///
/// # Errors
/// Every mistake.
pub fn for_calibration(values: &Values) -> Result<CalibrationConfig, Vec<ConfigError>> {
    let mut reader = Reader::new(values);
    let threads = reader.hash_threads();
    reader.finish(CalibrationConfig { threads, memory: memory_limit().map(|limit| share(threads, limit)) })
}
