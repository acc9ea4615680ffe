//! The settings of the commands.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use super::{
    hash_budget::{memory_limit, share},
    reader::Reader,
    setting::ConfigError,
    settings::{DATA_DIR, DATABASE, OPS_LISTEN, PASSWORD_MIN_LENGTH, REDIS, STORE_TIMEOUT},
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

/// The settings of `health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthConfig {
    /// The addresses at which the operations listener of a server on this host can be reached; tried in this order.
    pub addresses: Vec<SocketAddr>,
    /// The time limit of the request.
    pub limit: Duration,
}

/// The time that a server may need for `/readyz` in addition to its store calls.
const HEALTH_ALLOWANCE: Duration = Duration::from_secs(2);

/// Returns the operations listener.
///
/// # Errors
/// Returns every error if a setting is invalid, or if the port is 0.
pub fn for_health(values: &Values) -> Result<HealthConfig, Vec<ConfigError>> {
    let mut reader = Reader::new(values);
    let listen = reader.read(&OPS_LISTEN);
    if listen.port() == 0 {
        reader.error(&OPS_LISTEN, "port 0: expected the port of the running server");
    }
    let limit = reader.read(&STORE_TIMEOUT) + HEALTH_ALLOWANCE;
    reader.finish(HealthConfig { addresses: local_addresses(listen), limit })
}

/// Returns the addresses at which this host reaches a listener. A wildcard address stands for the loopback address of its
/// family; `[::]` also for that of IPv4, because a system without IPv6 has no other.
fn local_addresses(listen: SocketAddr) -> Vec<SocketAddr> {
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    let hosts: Vec<IpAddr> = match listen.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![v4],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![v6, v4],
        _ => return vec![listen],
    };
    hosts.into_iter().map(|host| SocketAddr::new(host, listen.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(ops_listen: &'static str) -> Result<HealthConfig, Vec<ConfigError>> {
        for_health(&Values::new(|_| None, |name| (name == "POSTERN_OPS_LISTEN").then(|| ops_listen.to_owned())))
    }

    #[test]
    fn health_of_a_wildcard_address_is_asked_on_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:8001", &["127.0.0.1:8001"][..]),
            ("[::]:8001", &["[::1]:8001", "127.0.0.1:8001"]),
            ("[::ffff:0.0.0.0]:8001", &["127.0.0.1:8001"]),
            ("[::1]:9", &["[::1]:9"]),
            ("10.0.0.7:8001", &["10.0.0.7:8001"]),
        ] {
            let addresses = health(listen).expect("valid settings").addresses;
            assert_eq!(addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{listen}");
        }
    }

    #[test]
    fn health_requires_a_port_and_no_other_setting() {
        let errors = health("127.0.0.1:0").expect_err("no port");

        assert_eq!(errors[0].to_string(), "POSTERN_OPS_LISTEN: port 0: expected the port of the running server");
        let invalid = |name: &str| (name == "POSTERN_TLS_KEY" || name == "REDIS_URL").then(|| "x".to_owned());
        assert!(for_health(&Values::new(|_| None, invalid)).is_ok());
    }
}
