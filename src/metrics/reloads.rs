//! Metrics of files that are reloaded.

use parking_lot::Mutex;
use prometheus::{IntGauge, IntGaugeVec};

use super::families;
use super::instruments::Registrar;

/// A file that is reloaded while the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadedFile {
    /// The directory of the keys.
    Keys,
    /// The API keys.
    ApiKeys,
    /// The TLS certificate and its key.
    Certificate,
    /// The URL of PostgreSQL.
    DatabaseUrl,
    /// The URL of Redis.
    RedisUrl,
}

impl ReloadedFile {
    /// All files.
    pub const ALL: [Self; 5] = [Self::Keys, Self::ApiKeys, Self::Certificate, Self::DatabaseUrl, Self::RedisUrl];

    fn label(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::ApiKeys => "api_keys",
            Self::Certificate => "certificate",
            Self::DatabaseUrl => "database_url",
            Self::RedisUrl => "redis_url",
        }
    }
}

/// Whether the last reload of each file succeeded; 1 for a file that is not watched.
pub(super) struct Reloads {
    successful: IntGaugeVec,
    keys: IntGauge,
    watched: Mutex<Vec<WatchedFile>>,
}

type WatchedFile = (ReloadedFile, Box<dyn Fn() -> bool + Send + Sync>);

impl Reloads {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        let reloads = Self {
            successful: make.gauge(&families::FILE_LAST_RELOAD),
            keys: make.gauge(&families::KEYS_LAST_RELOAD).with_label_values::<&str>(&[]),
            watched: Mutex::default(),
        };
        for file in ReloadedFile::ALL {
            reloads.set(file, true);
        }
        reloads
    }

    pub(super) fn watch(&self, file: ReloadedFile, read: impl Fn() -> bool + Send + Sync + 'static) {
        self.watched.lock().push((file, Box::new(read)));
    }

    /// Updates the gauges.
    pub(super) fn update(&self) {
        for (file, read) in self.watched.lock().iter() {
            self.set(*file, read());
        }
    }

    fn set(&self, file: ReloadedFile, is_successful: bool) {
        self.successful.with_label_values(&[file.label()]).set(i64::from(is_successful));
        if file == ReloadedFile::Keys {
            self.keys.set(i64::from(is_successful));
        }
    }
}
