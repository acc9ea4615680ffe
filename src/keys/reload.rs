//! The current set of keys.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;
use tracing::{error, info};

use super::{
    error::{KeyringError, VerifyError},
    keyring::Keyring,
};
use crate::reloading::{FileWatch, ReloadEvent, ReloadSource, Reloading};

/// Interval of reloads: a new key is known to every server after this time.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// Minimum interval of reloads for unknown key ids: anyone can send invented ids.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(1);

/// The current keys of a directory. Reloads the directory every ten seconds, and at once if a token names an unknown key. If
/// the directory is unusable, the previous set of keys stays.
#[derive(Debug)]
pub struct LiveKeyring(Arc<Reloading<KeyDirectory>>);

struct KeyDirectory(PathBuf);

impl LiveKeyring {
    /// Reads a directory that [`super::generate()`] filled.
    ///
    /// # Errors
    /// Returns the errors of [`Keyring::load`].
    pub fn open(directory: &Path) -> Result<Self, KeyringError> {
        let keyring = Keyring::load(directory)?;
        Ok(Self(Arc::new(Reloading::new(Some(KeyDirectory(directory.to_owned())), keyring))))
    }

    /// Returns the last good set.
    #[must_use]
    pub fn current(&self) -> Arc<Keyring> {
        self.0.current()
    }

    /// Returns a receiver that is notified of each new set.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Keyring>> {
        self.0.changes()
    }

    /// Runs a check with the current keys. If it names an unknown key, reloads the directory and runs it again.
    ///
    /// # Errors
    /// Returns the error of the check.
    pub async fn check<T>(&self, check: impl Fn(&Arc<Keyring>) -> Result<T, VerifyError>) -> Result<T, VerifyError> {
        match check(&self.current()) {
            Err(VerifyError::UnknownKey) => {
                self.0.reload_at_most_every(LOOKUP_INTERVAL).await;
                check(&self.current())
            }
            outcome => outcome,
        }
    }

    /// Returns a watch that reloads the directory every ten seconds.
    #[must_use]
    pub fn watch(&self) -> FileWatch {
        self.0.watch(RELOAD_INTERVAL)
    }

    /// Reloads the directory.
    pub async fn reload(&self) {
        self.0.reload().await;
    }
}

impl ReloadSource for KeyDirectory {
    type Value = Keyring;
    type Error = KeyringError;

    fn reload(&self, current: &Keyring) -> Result<Option<Keyring>, KeyringError> {
        let keyring = Keyring::load(&self.0)?;
        Ok((keyring.entries() != current.entries()).then_some(keyring))
    }

    fn log(&self, event: ReloadEvent<'_, Keyring>) {
        match event {
            ReloadEvent::Failed(error) => error!(error, "failed to reload keys; keeping the previous set"),
            ReloadEvent::Recovered(_) => info!("keys reloaded"),
            // An audit event records the change.
            ReloadEvent::Changed(_) => {}
        }
    }
}

#[cfg(test)]
impl LiveKeyring {
    /// Returns whether the last reload succeeded and no reload hangs.
    pub(crate) fn is_readable(&self) -> bool {
        self.0.is_healthy()
    }

    /// Returns a set that never changes.
    pub(crate) fn fixed(keyring: Arc<Keyring>) -> Self {
        Self(Arc::new(Reloading::new(None, keyring)))
    }
}

#[cfg(test)]
mod tests;
