//! A value that is reloaded, and the outcomes of its reloads.

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout},
};

/// How long a reload may run before [`Reloading::is_healthy`] returns false.
pub(crate) const RELOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a caller waits for a reload if the last good value is usable as well: the default timeout of the stores. The
/// reload continues; on a disk that hangs, it lasts as long as the disk does.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Files that hold a value.
pub(crate) trait ReloadSource: Send + Sync + 'static {
    /// The value.
    type Value: Send + Sync + 'static;
    /// Why the files are unusable; its text must not contain a secret.
    type Error: fmt::Display;

    /// Reads the files, and returns the new value if it differs from the current one. May block.
    fn reload(&self, current: &Self::Value) -> Result<Option<Self::Value>, Self::Error>;

    /// Logs the outcome of a reload.
    fn log(&self, event: ReloadEvent<'_, Self::Value>);
}

/// A watch on the files of a value.
pub struct FileWatch {
    /// Returns whether the last reload succeeded and none hangs. Does not block.
    pub is_healthy: Box<dyn Fn() -> bool + Send + Sync>,
    /// Reads the files at an interval, and never returns.
    pub run: BoxFuture<'static, ()>,
}

/// What a reload does with a changed value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReloadMode {
    /// Replaces the current value.
    Adopt,
    /// Discards it: the current value stays until [`Reloading::newer_than`].
    Check,
}

/// An outcome of a reload that belongs in the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReloadEvent<'a, T> {
    /// The reload failed, and the previous value stays. Reported once while the error stays the same.
    Failed(&'a str),
    /// The reload succeeded after a failure, with this value.
    Recovered(&'a T),
    /// The value has changed to this one.
    Changed(&'a T),
}

/// The current value of a [`ReloadSource`]. If a reload fails, the last good value stays.
///
/// Reloads run one at a time, each on a blocking thread: a disk that hangs stops neither [`Self::current`] nor a worker
/// thread of the runtime, and a reload finishes even if its caller is dropped.
pub(crate) struct Reloading<S: ReloadSource> {
    /// `None` for a value that never changes.
    source: Option<S>,
    current: watch::Sender<Arc<S::Value>>,
    /// Its one permit is held for as long as a reload runs.
    permit: Arc<Semaphore>,
    state: Mutex<ReloadState>,
}

#[derive(Default)]
struct ReloadState {
    /// Start of the running reload.
    started: Option<Instant>,
    /// End of the last reload by [`Reloading::reload_at_most_every`].
    on_demand: Option<Instant>,
    /// Error of the last reload.
    failure: Option<String>,
}

impl<S: ReloadSource> Reloading<S> {
    /// Starts with a value that was read from this source. Without a source, the value never changes.
    pub fn new(source: Option<S>, value: impl Into<Arc<S::Value>>) -> Self {
        let current = watch::Sender::new(value.into());
        Self { source, current, permit: Arc::new(Semaphore::new(1)), state: Mutex::default() }
    }

    /// Returns the last good value.
    pub fn current(&self) -> Arc<S::Value> {
        Arc::clone(&self.current.borrow())
    }

    /// Returns a receiver that is notified of each changed value.
    pub fn changes(&self) -> watch::Receiver<Arc<S::Value>> {
        self.current.subscribe()
    }

    /// Returns whether the last reload succeeded and none has been running for [`RELOAD_TIMEOUT`].
    pub fn is_healthy(&self) -> bool {
        let state = self.state.lock();
        state.failure.is_none() && state.started.is_none_or(|started| started.elapsed() < RELOAD_TIMEOUT)
    }

    /// Returns a watch that reloads at this interval.
    pub fn watch(self: &Arc<Self>, interval: Duration) -> FileWatch {
        self.watch_by(ReloadMode::Adopt, interval)
    }

    /// Returns a watch that reads the files at this interval and only checks them, for a value that is reloaded on demand.
    pub fn watch_without_adopting(self: &Arc<Self>, interval: Duration) -> FileWatch {
        self.watch_by(ReloadMode::Check, interval)
    }

    fn watch_by(self: &Arc<Self>, mode: ReloadMode, interval: Duration) -> FileWatch {
        let (watched, value) = (Arc::clone(self), Arc::clone(self));
        let run = async move {
            loop {
                sleep(interval).await;
                value.reload_by(mode).await;
            }
        };
        FileWatch { is_healthy: Box::new(move || watched.is_healthy()), run: Box::pin(run) }
    }

    /// Reloads once, after any reload that is running. Returns at the latest after [`MAX_WAIT`].
    pub async fn reload(self: &Arc<Self>) {
        let _ = timeout(MAX_WAIT, self.reload_by(ReloadMode::Adopt)).await;
    }

    async fn reload_by(self: &Arc<Self>, mode: ReloadMode) {
        if let Some(permit) = self.acquire().await {
            self.run(permit, mode, |_| ()).await;
        }
    }

    /// Reloads, unless a reload by this method ended less than `interval` ago. Concurrent callers share one reload.
    ///
    /// Its caller limits the wait: it cannot use the current value, so if a disk hangs, it must fail as if a store hung.
    pub async fn reload_at_most_every(self: &Arc<Self>, interval: Duration) {
        let Some(permit) = self.acquire().await else { return };
        let last = self.state.lock().on_demand;
        if last.is_none_or(|last| last.elapsed() >= interval) {
            // Set at the end: a caller that has waited for this reload starts no second one, however long it took.
            self.run(permit, ReloadMode::Adopt, |state| state.on_demand = Some(Instant::now())).await;
        }
    }

    /// Returns a value other than `used`: one that another caller has loaded already, or one from a reload. Returns `None`
    /// if the files hold `used` or are unusable, or after [`MAX_WAIT`].
    pub async fn newer_than(self: &Arc<Self>, used: &Arc<S::Value>) -> Option<Arc<S::Value>> {
        let reload = async {
            if let Some(permit) = self.acquire().await
                && Arc::ptr_eq(&self.current(), used)
            {
                self.run(permit, ReloadMode::Adopt, |_| ()).await;
            }
        };
        let _ = timeout(MAX_WAIT, reload).await;
        Some(self.current()).filter(|current| !Arc::ptr_eq(current, used))
    }

    /// Waits until no reload is running. Returns `None` if there is nothing to reload.
    async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        self.source.as_ref()?;
        Arc::clone(&self.permit).acquire_owned().await.ok()
    }

    async fn run(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        mode: ReloadMode,
        finish: impl FnOnce(&mut ReloadState) + Send + 'static,
    ) {
        self.state.lock().started = Some(Instant::now());
        let reloading = Arc::clone(self);
        let reload = tokio::task::spawn_blocking(move || {
            // The thread keeps the permit even if the caller is dropped.
            let _permit = permit;
            reloading.read(mode);
            finish(&mut reloading.state.lock());
        });
        // A panic is an error of the source, which `read` applies.
        let _ = reload.await;
    }

    /// Reads the files on the current thread.
    fn read(&self, mode: ReloadMode) {
        if let Some(source) = &self.source {
            let reload = || source.reload(&self.current()).map_err(|error| error.to_string());
            let reloaded = panic::catch_unwind(AssertUnwindSafe(reload));
            let reloaded = reloaded.unwrap_or_else(|_panic| Err("the reload panicked".to_owned()));
            self.apply(source, reloaded.map(|changed| changed.filter(|_| mode == ReloadMode::Adopt)));
        }
    }

    fn apply(&self, source: &S, reloaded: Result<Option<S::Value>, String>) {
        let mut state = self.state.lock();
        state.started = None;
        match reloaded {
            Ok(changed) => {
                let has_changed = changed.is_some();
                if let Some(value) = changed {
                    self.current.send_replace(Arc::new(value));
                }
                if state.failure.take().is_some() {
                    source.log(ReloadEvent::Recovered(&self.current()));
                } else if has_changed {
                    source.log(ReloadEvent::Changed(&self.current()));
                }
            }
            Err(error) => {
                if state.failure.as_ref() != Some(&error) {
                    source.log(ReloadEvent::Failed(&error));
                    state.failure = Some(error);
                }
            }
        }
    }
}

impl<S: ReloadSource> fmt::Debug for Reloading<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reloading(..)")
    }
}

#[cfg(test)]
impl<S: ReloadSource> Reloading<S> {
    /// Reloads on the current thread.
    pub(crate) fn reload_blocking(&self) {
        self.read(ReloadMode::Adopt);
    }
}

#[cfg(test)]
mod tests;
