//! The set of keys that is in use now.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep},
};
use tracing::{error, info};

use super::{
    error::{KeyringError, VerifyError},
    keyring::Keyring,
};

/// How often the directory is read: a key that shall be used by everybody is known to everybody by then.
const READING_INTERVAL: Duration = Duration::from_secs(10);

/// How often, at most, an unknown key id has the directory read at once: anybody can make ids up.
const LOOKING_INTERVAL: Duration = Duration::from_secs(1);

/// How long reading may take before the directory counts as one that cannot be used.
const PATIENCE: Duration = Duration::from_secs(10);

/// The keys of a directory, as they are now. What changes there counts within ten seconds, and at once where somebody
/// presents a token under a key that is not known yet. A directory that cannot be used changes nothing.
#[derive(Debug)]
pub struct LiveKeyring {
    directory: PathBuf,
    current: watch::Sender<Arc<Keyring>>,
    /// Held by whoever reads the directory, for as long as that takes: whoever else meets an unknown id waits for what that
    /// finds.
    reading: Arc<Semaphore>,
    state: Mutex<ReloadState>,
}

/// How reading the directory has gone.
#[derive(Debug, Default)]
struct ReloadState {
    /// When an unknown id last had the directory read.
    looked: Option<Instant>,
    /// Since when it is being read.
    since: Option<Instant>,
    /// Why it cannot be used, if so.
    failure: Option<String>,
}

/// Why the directory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Interval,
    UnknownId,
}

impl LiveKeyring {
    /// Reads a directory that [`super::generate()`] filled.
    ///
    /// # Errors
    /// Those of [`Keyring::load`].
    pub fn open(directory: &Path) -> Result<Self, KeyringError> {
        Ok(Self::holding(directory.to_owned(), Arc::new(Keyring::load(directory)?)))
    }

    fn holding(directory: PathBuf, keyring: Arc<Keyring>) -> Self {
        let reading = Arc::new(Semaphore::new(1));
        Self { directory, current: watch::Sender::new(keyring), reading, state: Mutex::default() }
    }

    /// The last good set.
    #[must_use]
    pub fn current(&self) -> Arc<Keyring> {
        Arc::clone(&self.current.borrow())
    }

    /// Tells of each set that takes the place of another.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Keyring>> {
        self.current.subscribe()
    }

    /// Whether the directory could be used when it was last read.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let state = self.state();
        state.failure.is_none() && state.since.is_none_or(|since| since.elapsed() < PATIENCE)
    }

    /// Checks something under the keys of now; where it names one that is not among them, once more under those that the
    /// directory has by then.
    ///
    /// # Errors
    /// Those of the check.
    pub async fn check<T>(
        self: &Arc<Self>,
        check: impl Fn(&Keyring) -> Result<T, VerifyError>,
    ) -> Result<T, VerifyError> {
        match check(&self.current()) {
            Err(VerifyError::UnknownKey) => {
                self.reload_now().await;
                check(&self.current())
            }
            outcome => outcome,
        }
    }

    /// Reads the directory every ten seconds, for as long as the process runs.
    pub async fn watch(self: Arc<Self>) {
        loop {
            sleep(READING_INTERVAL).await;
            self.reload().await;
        }
    }

    /// Reads the directory now.
    pub async fn reload(self: &Arc<Self>) {
        if let Some(turn) = self.turn().await {
            self.read(turn, Reason::Interval).await;
        }
    }

    /// Reads the directory, unless that was done for an unknown id less than a second ago.
    async fn reload_now(self: &Arc<Self>) {
        let Some(turn) = self.turn().await else { return };
        let is_due = |looked: Instant| looked.elapsed() >= LOOKING_INTERVAL;
        if self.state().looked.is_none_or(is_due) {
            self.read(turn, Reason::UnknownId).await;
        }
    }

    /// The one place among those who read.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.reading).acquire_owned().await.ok()
    }

    /// Reads on a thread of its own: where the disk hangs, whoever waits may go away, the turn stays taken, and no request
    /// waits that knows its key.
    async fn read(self: &Arc<Self>, turn: OwnedSemaphorePermit, reason: Reason) {
        let keys = Arc::clone(self);
        self.state().since = Some(Instant::now());
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            keys.take(Keyring::load(&keys.directory));
            if reason == Reason::UnknownId {
                // As of now: whoever has waited for this need not read again, however long it took.
                keys.state().looked = Some(Instant::now());
            }
        });
        if let Err(error) = reading.await {
            error!(%error, "reading the keys failed");
        }
    }

    fn take(&self, loaded: Result<Keyring, KeyringError>) {
        let mut state = self.state();
        state.since = None;
        match loaded {
            Ok(keyring) => {
                if state.failure.take().is_some() {
                    info!("the keys can be used again");
                }
                if keyring.entries() != self.current().entries() {
                    self.current.send_replace(Arc::new(keyring));
                }
            }
            Err(error) => {
                let error = error.to_string();
                if state.failure.as_ref() != Some(&error) {
                    error!(error, "the keys cannot be used: the last good ones go on");
                    state.failure = Some(error);
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, ReloadState> {
        self.state.lock()
    }
}

#[cfg(test)]
impl LiveKeyring {
    /// These keys, for ever.
    pub(crate) fn of(keyring: Arc<Keyring>) -> Self {
        Self::holding(PathBuf::new(), keyring)
    }
}

#[cfg(test)]
mod tests;
