//! Values that are loaded from files and reloaded while the process runs.

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep},
};

/// How long a reload may run before [`Reloading::is_healthy`] returns false.
pub(crate) const RELOAD_TIMEOUT: Duration = Duration::from_secs(10);

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

/// An outcome of a reload that belongs in the log.
#[derive(Debug, PartialEq, Eq)]
pub enum ReloadEvent<'a, T> {
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
pub struct Reloading<S: ReloadSource> {
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

    /// Reloads at this interval and never returns.
    pub async fn watch(self: Arc<Self>, interval: Duration) {
        loop {
            sleep(interval).await;
            self.reload().await;
        }
    }

    /// Reloads once, after any reload that is running.
    pub async fn reload(self: &Arc<Self>) {
        if let Some(permit) = self.acquire().await {
            self.run(permit, |_| ()).await;
        }
    }

    /// Reloads, unless a reload by this method ended less than `interval` ago. Concurrent callers share one reload.
    pub async fn reload_at_most_every(self: &Arc<Self>, interval: Duration) {
        let Some(permit) = self.acquire().await else { return };
        let last = self.state.lock().on_demand;
        if last.is_none_or(|last| last.elapsed() >= interval) {
            // Set at the end: a caller that has waited for this reload starts no second one, however long it took.
            self.run(permit, |state| state.on_demand = Some(Instant::now())).await;
        }
    }

    /// Returns a value other than `used`: one that another caller has loaded already, or one from a reload. Returns `None`
    /// if the files hold `used` or are unusable.
    pub async fn newer_than(self: &Arc<Self>, used: &Arc<S::Value>) -> Option<Arc<S::Value>> {
        if let Some(permit) = self.acquire().await
            && Arc::ptr_eq(&self.current(), used)
        {
            self.run(permit, |_| ()).await;
        }
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
        finish: impl FnOnce(&mut ReloadState) + Send + 'static,
    ) {
        self.state.lock().started = Some(Instant::now());
        let reloading = Arc::clone(self);
        let reload = tokio::task::spawn_blocking(move || {
            // The thread keeps the permit even if the caller is dropped.
            let _permit = permit;
            reloading.reload_blocking();
            finish(&mut reloading.state.lock());
        });
        // A panic is an error of the source, which `reload_blocking` applies.
        let _ = reload.await;
    }

    /// Reloads on the current thread.
    pub(crate) fn reload_blocking(&self) {
        if let Some(source) = &self.source {
            let reload = || source.reload(&self.current()).map_err(|error| error.to_string());
            let reloaded = panic::catch_unwind(AssertUnwindSafe(reload));
            self.apply(source, reloaded.unwrap_or_else(|_panic| Err("the reload panicked".to_owned())));
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
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A file whose content the test sets; `None` panics.
    #[derive(Default)]
    struct FileState {
        content: Mutex<Option<Result<u32, &'static str>>>,
        reloads: Mutex<u32>,
        /// Blocks the next reload until its sender is dropped.
        gate: Mutex<Option<mpsc::Receiver<()>>>,
        log: Mutex<Vec<String>>,
    }

    #[derive(Clone, Default)]
    struct TestFile(Arc<FileState>);

    impl ReloadSource for TestFile {
        type Value = u32;
        type Error = &'static str;

        fn reload(&self, current: &u32) -> Result<Option<u32>, &'static str> {
            let gate = self.0.gate.lock().take();
            if let Some(gate) = gate {
                // An error: the sender was dropped.
                let _ = gate.recv_timeout(RELOAD_TIMEOUT);
            }
            *self.0.reloads.lock() += 1;
            let content = *self.0.content.lock();
            content.expect("content").map(|content| (content != *current).then_some(content))
        }

        fn log(&self, event: ReloadEvent<'_, u32>) {
            self.0.log.lock().push(format!("{event:?}"));
        }
    }

    impl TestFile {
        fn write(&self, content: Result<u32, &'static str>) {
            *self.0.content.lock() = Some(content);
        }

        fn open(&self, content: u32) -> Arc<Reloading<Self>> {
            self.write(Ok(content));
            Arc::new(Reloading::new(Some(self.clone()), content))
        }

        fn reloads(&self) -> u32 {
            *self.0.reloads.lock()
        }

        /// Makes the next reload wait until the returned sender is dropped.
        fn block(&self) -> mpsc::Sender<()> {
            let (sender, receiver) = mpsc::channel();
            *self.0.gate.lock() = Some(receiver);
            sender
        }

        /// Waits until a reload has reached the gate.
        async fn blocked(&self) {
            let reached = async {
                while self.0.gate.lock().is_some() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(RELOAD_TIMEOUT, reached).await.expect("a reload starts in time");
        }
    }

    #[tokio::test]
    async fn reload_replaces_a_changed_value_and_notifies() {
        let file = TestFile::default();
        let value = file.open(1);
        let changes = value.changes();

        value.reload().await;
        assert!(!changes.has_changed().expect("the sender is alive"));

        file.write(Ok(2));
        value.reload().await;
        assert_eq!((*value.current(), **changes.borrow()), (2, 2));
        assert_eq!(*file.0.log.lock(), ["Changed(2)"]);
    }

    #[tokio::test]
    async fn failed_reload_keeps_the_value_and_is_logged_once() {
        let file = TestFile::default();
        let value = file.open(1);

        for content in [Err("unreadable"), Err("unreadable"), Err("empty")] {
            file.write(content);
            value.reload().await;
            assert_eq!((*value.current(), value.is_healthy()), (1, false));
        }
        for content in [1, 1, 2] {
            file.write(Ok(content));
            value.reload().await;
            assert_eq!((*value.current(), value.is_healthy()), (content, true));
        }

        let log = file.0.log.lock();
        assert_eq!(*log, [r#"Failed("unreadable")"#, r#"Failed("empty")"#, "Recovered(1)", "Changed(2)"]);
    }

    #[tokio::test]
    async fn panic_during_a_reload_is_a_failure() {
        let file = TestFile::default();
        let value = file.open(1);

        *file.0.content.lock() = None;
        value.reload().await;
        assert_eq!((*value.current(), value.is_healthy()), (1, false));

        file.write(Ok(2));
        value.reload().await;
        assert_eq!((*value.current(), value.is_healthy()), (2, true));
    }

    #[tokio::test]
    async fn reload_finishes_if_its_caller_is_dropped() {
        let file = TestFile::default();
        let value = file.open(1);
        let mut changes = value.changes();
        file.write(Ok(2));

        let gate = file.block();
        let caller = tokio::spawn({
            let value = Arc::clone(&value);
            async move { value.reload().await }
        });
        file.blocked().await;
        caller.abort();
        assert_eq!(*value.current(), 1);
        drop(gate);

        tokio::time::timeout(RELOAD_TIMEOUT, changes.changed()).await.expect("in time").expect("a change");
        assert_eq!(*value.current(), 2);
    }

    #[tokio::test]
    async fn concurrent_callers_share_one_reload_on_demand() {
        let file = TestFile::default();
        let value = file.open(1);

        let gate = file.block();
        let caller = || value.reload_at_most_every(RELOAD_TIMEOUT);
        let unblock = async {
            file.blocked().await;
            drop(gate);
        };
        tokio::join!(caller(), caller(), caller(), unblock);

        assert_eq!(file.reloads(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn reload_on_demand_waits_for_its_interval_only() {
        let file = TestFile::default();
        let value = file.open(1);

        value.reload().await;
        value.reload_at_most_every(Duration::from_secs(1)).await;
        assert_eq!(file.reloads(), 2, "a reload at an interval does not delay one on demand");

        tokio::time::advance(Duration::from_millis(999)).await;
        value.reload_at_most_every(Duration::from_secs(1)).await;
        assert_eq!(file.reloads(), 2);

        tokio::time::advance(Duration::from_millis(1)).await;
        value.reload_at_most_every(Duration::from_secs(1)).await;
        assert_eq!(file.reloads(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn watch_reloads_at_its_interval() {
        let file = TestFile::default();
        let value = file.open(1);
        let watch = tokio::spawn(Arc::clone(&value).watch(Duration::from_secs(10)));

        sleep(Duration::from_millis(35_500)).await;

        assert_eq!(file.reloads(), 3);
        watch.abort();
    }

    #[tokio::test]
    async fn newer_value_comes_from_another_caller_or_a_reload() {
        let file = TestFile::default();
        let value = file.open(1);
        let first = value.current();

        assert_eq!(value.newer_than(&first).await, None);
        file.write(Ok(2));
        assert_eq!(value.newer_than(&first).await.as_deref(), Some(&2));
        let reloads = file.reloads();
        assert_eq!(value.newer_than(&first).await.as_deref(), Some(&2));
        assert_eq!(file.reloads(), reloads);
    }

    #[tokio::test]
    async fn value_without_a_source_never_changes() {
        let value = Arc::new(Reloading::<TestFile>::new(None, 1));

        value.reload().await;

        assert_eq!(value.newer_than(&value.current()).await, None);
        assert_eq!((*value.current(), value.is_healthy()), (1, true));
    }
}
