//! Reads settings and collects the invalid ones.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{
    hash_budget::{default_request_memory, excess_memory, excess_request_memory, memory_limit},
    setting::{ConfigError, TypedSetting},
    settings::{
        ACCESS_TTL, ADMIN_API, ADMIN_NETWORKS, ADMIN_REAUTH_AGE, DATA_DIR, DATABASE, HASH_LANES, HASH_MAX_WAIT,
        HASH_MEMORY, HASH_PASSES, HASH_THREADS, KEYS_DIR, KEYS_MAX_AGE, LISTEN, REDIS, REFRESH_TTL, REQUEST_MEMORY,
        SESSION_IDLE_TTL, TLS_CERT, TLS_KEY, TRUSTED_PROXIES, UrlSettings,
    },
    stores::{EmbeddedConfig, Stores},
    values::Values,
};
use crate::{
    accounts::Lifetimes,
    http::{AdminAccess, AdminListener, TrustedProxies},
    passwords::{HashParameters, HasherSettings},
    server::TlsFiles,
    store::{ClientCertificateFiles, StoreTls, StoreTlsError, StoreTlsFiles, StoreTlsRole, StoreUrl},
};

/// The least memory of a lane (RFC 9106, section 3.1), in KiB.
const MIN_LANE_KIB: u32 = 8;

/// Reads settings and collects errors. The default replaces an invalid value until [`Reader::finish`].
pub struct Reader<'values> {
    values: &'values Values,
    errors: Vec<ConfigError>,
}

impl<'values> Reader<'values> {
    pub fn new(values: &'values Values) -> Self {
        Self { values, errors: Vec::new() }
    }

    /// Returns the configuration.
    ///
    /// # Errors
    /// Returns every error if there was one.
    pub fn finish<T>(self, config: T) -> Result<T, Vec<ConfigError>> {
        if self.errors.is_empty() { Ok(config) } else { Err(self.errors) }
    }

    pub fn error<T>(&mut self, setting: &TypedSetting<T>, message: impl Into<String>) {
        self.errors.push(setting.error(message));
    }

    /// Returns the value, or the default.
    pub fn read<T>(&mut self, setting: &TypedSetting<T>) -> T {
        self.read_if_set(setting).unwrap_or_else(|| setting.default_value())
    }

    /// Returns the value if it is set and valid.
    pub fn read_if_set<T>(&mut self, setting: &TypedSetting<T>) -> Option<T> {
        let text = self.values.get(&setting.setting)?;
        setting.parse(text).map_err(|error| self.errors.push(error)).ok()
    }

    /// Returns whether the URL or its file is set.
    pub fn is_set<T>(&self, UrlSettings { url, file, .. }: &UrlSettings<T>) -> bool {
        self.values.get(&url.setting).or_else(|| self.values.get(&file.setting)).is_some()
    }

    /// Returns the URL with its certificates, from its file if that is set, or `None` if neither is set and valid.
    pub fn url<T: StoreUrl>(&mut self, settings: &UrlSettings<T>) -> Option<T> {
        let files = StoreTlsFiles {
            ca: self.read_if_set(&settings.ca),
            client: self
                .both(&settings.client_certificate, &settings.client_key)
                .map(|(certificates, key)| ClientCertificateFiles { certificates, key }),
        };
        let url = self.url_without_certificates(settings);
        let setting = if files.ca.is_some() { &settings.ca } else { &settings.client_certificate };
        match &url {
            Some(url) if url.is_encrypted() => {}
            Some(_) if files != StoreTlsFiles::default() => {
                let name = settings.url.setting.name;
                let expected = T::SWITCHES_TLS_ON;
                self.error(setting, format!("set although {name} does not switch TLS on: expected {expected}"));
                return None;
            }
            None if files != StoreTlsFiles::default() && !self.is_set(settings) => {
                self.error(setting, format!("set although {} is not", settings.url.setting.name));
                return None;
            }
            _ => return url,
        }
        let tls = StoreTls::read(files).map_err(|error| {
            let setting = match error {
                StoreTlsError::File { role: StoreTlsRole::Ca, .. }
                | StoreTlsError::SystemRoots(_)
                | StoreTlsError::NoRootCertificates => &settings.ca,
                StoreTlsError::File { role: StoreTlsRole::Certificate, .. } | StoreTlsError::Mismatch { .. } => {
                    &settings.client_certificate
                }
                StoreTlsError::File { role: StoreTlsRole::Key, .. } => &settings.client_key,
            };
            self.error(setting, error.to_string());
        });
        url.zip(tls.ok()).map(|(url, tls)| url.by(tls))
    }

    fn url_without_certificates<T: StoreUrl>(&mut self, UrlSettings { url, file, .. }: &UrlSettings<T>) -> Option<T> {
        let Some(path) = self.read_if_set(file) else { return self.read_if_set(url) };
        if self.values.get(&url.setting).is_some() {
            self.error(file, format!("set together with {}: expected only one of them", url.setting.name));
            return None;
        }
        T::read(&path).map_err(|error| self.error(file, format!("{}: {error}", path.display()))).ok()
    }

    pub fn stores(&mut self) -> Option<Stores> {
        let (database, redis) = (self.url(&DATABASE), self.url(&REDIS));
        match (self.is_set(&DATABASE), self.is_set(&REDIS)) {
            (false, false) => return Some(Stores::Embedded),
            (true, false) => self.missing(&REDIS.url, &DATABASE.url),
            (false, true) => self.missing(&DATABASE.url, &REDIS.url),
            (true, true) => {}
        }
        database.zip(redis).map(|(database, redis)| Stores::PostgresRedis(Box::new(database), Box::new(redis)))
    }

    /// Returns the directories of the embedded store.
    pub fn embedded(&mut self) -> EmbeddedConfig {
        if self.is_set(&REDIS) && !self.is_set(&DATABASE) {
            self.missing(&DATABASE.url, &REDIS.url);
        }
        let data_dir = self.read(&DATA_DIR);
        EmbeddedConfig { keys_dir: self.embedded_keys_dir(&data_dir), data_dir }
    }

    /// Returns the directory of the keys, by default in the data directory.
    pub fn embedded_keys_dir(&mut self, data_dir: &Path) -> PathBuf {
        self.read_if_set(&KEYS_DIR).unwrap_or_else(|| data_dir.join("keys"))
    }

    /// Returns the directory of the keys, which must be set.
    pub fn required_keys_dir(&mut self) -> PathBuf {
        self.read_if_set(&KEYS_DIR).unwrap_or_else(|| {
            self.error(&KEYS_DIR, "not set: expected the directory of the keys (`postern keys generate` creates them)");
            PathBuf::new()
        })
    }

    pub fn tls(&mut self) -> Option<TlsFiles> {
        self.both(&TLS_CERT, &TLS_KEY).map(|(certificates, key)| TlsFiles { certificates, key })
    }

    /// Returns the values of two settings that require each other, if both are set.
    fn both(&mut self, first: &TypedSetting<PathBuf>, second: &TypedSetting<PathBuf>) -> Option<(PathBuf, PathBuf)> {
        match (self.read_if_set(first), self.read_if_set(second)) {
            (Some(first), Some(second)) => return Some((first, second)),
            (None, None) => {}
            (Some(_), None) => self.missing(second, first),
            (None, Some(_)) => self.missing(first, second),
        }
        None
    }

    /// Returns the trusted proxies. They must be set, if only to `none`, for a listener that other hosts can reach, and for one
    /// that serves the admin API: behind a proxy that is not named, all clients would share one address, with which all or
    /// none would be in the networks of the admin API.
    pub fn trusted_proxies(&mut self, listen: SocketAddr, admin_listener: AdminListener) -> TrustedProxies {
        let is_set = self.values.get(&TRUSTED_PROXIES.setting).is_some();
        let reason = if !listen.ip().to_canonical().is_loopback() {
            Some(format!("{} is not a loopback address", LISTEN.setting.name))
        } else if admin_listener == AdminListener::Public {
            Some(format!("{} is public", ADMIN_API.setting.name))
        } else {
            None
        };
        if let Some(reason) = reason.filter(|_| !is_set) {
            self.error(
                &TRUSTED_PROXIES,
                format!(
                    "not set although {reason}: expected the networks of the reverse proxies, or `none` if clients \
                     connect directly"
                ),
            );
        }
        self.read_if_set(&TRUSTED_PROXIES).unwrap_or_default()
    }

    /// Returns who may call the admin API. Its networks must be set if the public listener serves it.
    pub fn admin_access(&mut self, listener: AdminListener) -> AdminAccess {
        let is_set = self.values.get(&ADMIN_NETWORKS.setting).is_some();
        if listener == AdminListener::Public && !is_set {
            self.error(
                &ADMIN_NETWORKS,
                format!(
                    "not set although {} is public: expected the networks of the clients of `/admin/api/`",
                    ADMIN_API.setting.name
                ),
            );
        }
        AdminAccess {
            networks: self.read_if_set(&ADMIN_NETWORKS),
            max_authentication_age: self.read(&ADMIN_REAUTH_AGE),
        }
    }

    fn missing<A, B>(&mut self, missing: &TypedSetting<A>, present: &TypedSetting<B>) {
        self.error(missing, format!("not set although {} is: expected both or neither", present.setting.name));
    }

    pub fn lifetimes(&mut self) -> Lifetimes {
        Lifetimes {
            access: self.read(&ACCESS_TTL),
            session: self.read(&REFRESH_TTL),
            idle: self.read(&SESSION_IDLE_TTL),
            published_keys: self.read(&KEYS_MAX_AGE),
        }
    }

    /// Returns the hashing settings of a server, whose threads may all hash at once within the memory limit.
    pub fn server_hashing(&mut self) -> HasherSettings {
        let hashing = self.hashing();
        if let Some(message) = memory_limit().and_then(|limit| excess_memory(&hashing, limit)) {
            self.error(&HASH_MEMORY, message);
        }
        hashing
    }

    /// Returns the memory of connections and requests in bytes, by default a share of what hashing leaves.
    pub fn request_memory_bytes(&mut self, hashing: &HasherSettings) -> u64 {
        let limit = memory_limit();
        let Some(memory) = self.read_if_set(&REQUEST_MEMORY) else { return default_request_memory(hashing, limit) };
        let bytes = memory.as_u64();
        if let Some(message) = limit.and_then(|limit| excess_request_memory(hashing, bytes, limit)) {
            self.error(&REQUEST_MEMORY, message);
        }
        bytes
    }

    pub fn hashing(&mut self) -> HasherSettings {
        let memory = self.read(&HASH_MEMORY);
        let lanes = self.read(&HASH_LANES);
        let memory_kib = u32::try_from(memory.as_u64() / 1024).unwrap_or(u32::MAX);
        if memory_kib < MIN_LANE_KIB * lanes {
            self.error(&HASH_MEMORY, format!("{lanes} lanes need at least {}KiB", MIN_LANE_KIB * lanes));
        }
        HasherSettings {
            parameters: HashParameters { memory_kib, passes: self.read(&HASH_PASSES), lanes },
            threads: self.hash_threads(),
            max_wait: self.read(&HASH_MAX_WAIT),
        }
    }

    /// Returns the number of hashing threads, by default the number of CPUs in the quota of the process.
    pub fn hash_threads(&mut self) -> usize {
        let quota = || std::thread::available_parallelism().map_or(1, usize::from);
        self.read_if_set(&HASH_THREADS).unwrap_or_else(quota)
    }
}

#[cfg(test)]
mod tests;
