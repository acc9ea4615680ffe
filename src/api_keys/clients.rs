//! API clients, whose keys are reloaded when their file changes.

use std::{fmt, path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::{Duration, OffsetDateTime};
use tracing::{error, info};

use super::{
    key_file::{self, ApiClientName, ApiKey, ApiKeysError},
    scopes::Scopes,
};
use crate::{
    clock::Clock,
    reloading::{FileWatch, ReloadEvent, ReloadSource, Reloading},
};

/// Minimum interval of reloads by requests.
const RELOAD_INTERVAL: Duration = Duration::SECOND;

/// Interval of reloads without requests, so that an invalid file is reported before a client needs a new key.
const WATCH_INTERVAL: std::time::Duration = std::time::Duration::from_secs(10);

/// The API clients and their keys. If the file has changed, the first call of [`Self::by_key`] a second or more after the
/// last reload uses the new keys; if the file is unusable, the previous keys stay.
pub struct ApiClients {
    keys: Arc<Reloading<ApiKeysFile>>,
    clock: Arc<dyn Clock>,
    last_reload: Mutex<OffsetDateTime>,
}

/// A client that has presented one of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizedClient {
    /// The name.
    pub name: ApiClientName,
    /// The scopes of the key.
    pub scopes: Scopes,
}

struct ApiKeysFile(PathBuf);

impl ApiClients {
    /// Returns an empty set, which never changes.
    #[must_use]
    pub fn empty(clock: Arc<dyn Clock>) -> Self {
        Self::new(Reloading::new(None, Vec::new()), clock)
    }

    /// Reads a file of API keys.
    ///
    /// # Errors
    /// Returns [`ApiKeysError`] if others can read the file or if a line is invalid.
    pub fn of_file(file: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, ApiKeysError> {
        let keys = key_file::read(&file)?;
        Ok(Self::new(Reloading::new(Some(ApiKeysFile(file)), keys), clock))
    }

    fn new(keys: Reloading<ApiKeysFile>, clock: Arc<dyn Clock>) -> Self {
        let last_reload = Mutex::new(clock.now());
        Self { keys: Arc::new(keys), clock, last_reload }
    }

    /// Returns a watch that reloads the file every ten seconds.
    #[must_use]
    pub fn watch(&self) -> FileWatch {
        self.keys.watch(WATCH_INTERVAL)
    }

    /// Returns the client that has this key.
    pub async fn by_key(&self, key: &str) -> Option<AuthorizedClient> {
        if self.is_due() {
            self.keys.reload().await;
        }
        let keys = self.keys.current();
        let digest = Sha256::digest(key);
        // Compares every key, even after a match, so that the duration reveals nothing.
        let found = keys.iter().fold(None, |found, known| {
            let is_same = bool::from(known.digest.ct_eq(digest.as_slice()));
            if is_same { Some(known) } else { found }
        });
        found.map(|known| AuthorizedClient { name: known.client.clone(), scopes: known.scopes })
    }

    /// Returns true to one caller per interval: the others use the current keys and wait for nothing.
    fn is_due(&self) -> bool {
        let (mut last_reload, now) = (self.last_reload.lock(), self.clock.now());
        // The absolute difference: a clock that was set back must not stop reloads.
        let is_due = (now - *last_reload).abs() >= RELOAD_INTERVAL;
        if is_due {
            *last_reload = now;
        }
        is_due
    }
}

impl ReloadSource for ApiKeysFile {
    type Value = Vec<ApiKey>;
    type Error = ApiKeysError;

    fn reload(&self, current: &Vec<ApiKey>) -> Result<Option<Vec<ApiKey>>, ApiKeysError> {
        let keys = key_file::read(&self.0)?;
        Ok((keys != *current).then_some(keys))
    }

    fn log(&self, event: ReloadEvent<'_, Vec<ApiKey>>) {
        match event {
            ReloadEvent::Failed(error) => error!(error, "failed to reload API keys; keeping the previous set"),
            ReloadEvent::Recovered(keys) | ReloadEvent::Changed(keys) => {
                info!(api_clients = described(keys), "API keys reloaded");
            }
        }
    }
}

/// Returns the names of the clients in the order of the file, each with the scopes of its key.
fn described(keys: &[ApiKey]) -> String {
    let clients = keys.iter().map(|key| format!("{} ({})", key.client.as_str(), key.scopes));
    clients.collect::<Vec<_>>().join(", ")
}

impl fmt::Debug for ApiClients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiClients(..)")
    }
}

#[cfg(test)]
mod tests;
