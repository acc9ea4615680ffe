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

/// Returns the database of `migrate`.
///
/// # Errors
/// Returns every error if the URL is not set or invalid.
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

/// The settings of commands about users.
#[derive(Debug)]
pub struct UsersConfig {
    /// The store of users.
    pub store: UsersStore,
    /// The hashing settings.
    pub hashing: HasherSettings,
    /// The minimum length of a new password, in code points.
    pub password_min_length: usize,
}

/// The store of users.
#[derive(Debug)]
pub enum UsersStore {
    /// The embedded store.
    Embedded(EmbeddedConfig),
    /// PostgreSQL.
    Postgres(Box<PostgresUrl>),
}

/// Returns the settings of commands about users, which need no session store.
///
/// # Errors
/// Returns every error if a setting is invalid.
pub fn for_users(values: &Values) -> Result<UsersConfig, Vec<ConfigError>> {
    let mut reader = Reader::new(values);
    let config = UsersConfig {
        store: match reader.url(&DATABASE) {
            Some(url) => UsersStore::Postgres(Box::new(url)),
            None => UsersStore::Embedded(reader.embedded()),
        },
        // A command hashes one password, so nothing queues behind it.
        hashing: HasherSettings { threads: 1, max_wait: Duration::from_mins(1), ..reader.hashing() },
        password_min_length: reader.read(&PASSWORD_MIN_LENGTH),
    };
    reader.finish(config)
}

/// Returns the embedded store of `backup`.
///
/// # Errors
/// Returns every error if the stores are not embedded or a setting is invalid.
pub fn for_backup(values: &Values) -> Result<EmbeddedConfig, Vec<ConfigError>> {
    let mut reader = Reader::new(values);
    if reader.is_set(&DATABASE) {
        reader.error(
            &DATABASE.url,
            "must not be set: `postern backup` copies the embedded store only (back up PostgreSQL with pg_dump or base backups)",
        );
    }
    let embedded = reader.embedded();
    reader.finish(embedded)
}

/// The settings of commands about keys.
#[derive(Debug)]
pub struct KeysConfig {
    /// The directory of the keys.
    pub directory: PathBuf,
    /// The lifetimes that determine how long a key stays in a state.
    pub times: KeyTimes,
}

/// Returns the settings of commands about keys.
///
/// # Errors
/// Returns every error if a setting is invalid.
pub fn for_keys(values: &Values) -> Result<KeysConfig, Vec<ConfigError>> {
    let mut reader = Reader::new(values);
    let is_embedded = !reader.is_set(&DATABASE) && !reader.is_set(&REDIS);
    let data_dir = reader.read(&DATA_DIR);
    let directory = if is_embedded { reader.embedded_keys_dir(&data_dir) } else { reader.required_keys_dir() };
    let Lifetimes { access, session, published_keys, .. } = reader.lifetimes();
    let config = KeysConfig { directory, times: KeyTimes { max_age: published_keys, access, refresh: session } };
    reader.finish(config)
}

/// The settings of `calibrate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalibrationConfig {
    /// The number of hashing threads.
    pub threads: usize,
    /// The maximum memory of each thread in bytes. `None` if there is no limit.
    pub memory_bytes: Option<u64>,
}

/// Returns the hashing threads of a server and their memory.
///
/// # Errors
/// Returns every error if a setting is invalid.
pub fn for_calibration(values: &Values) -> Result<CalibrationConfig, Vec<ConfigError>> {
    let mut reader = Reader::new(values);
    let threads = reader.hash_threads();
    reader.finish(CalibrationConfig { threads, memory_bytes: memory_limit().map(|limit| share(threads, limit)) })
}
