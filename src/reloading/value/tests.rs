//! Tests of reloading.

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
    let watch = tokio::spawn(value.watch(Duration::from_secs(10)).run);

    sleep(Duration::from_millis(35_500)).await;

    assert_eq!(file.reloads(), 3);
    watch.abort();
}

#[tokio::test]
async fn watch_without_adopting_reports_an_invalid_file_and_keeps_the_value() {
    let file = TestFile::default();
    let value = file.open(1);
    let first = value.current();
    let FileWatch { is_healthy, run } = value.watch_without_adopting(Duration::from_millis(1));
    let watch = tokio::spawn(run);

    for (content, expected) in [(Ok(2), true), (Err("empty"), false), (Ok(2), true)] {
        file.write(content);
        // When the second reload begins, the first one has been applied.
        let wanted = file.reloads() + 2;
        let reloaded = async {
            while file.reloads() < wanted {
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(RELOAD_TIMEOUT, reloaded).await.expect("two reloads in time");
        assert_eq!((is_healthy(), *value.current()), (expected, 1));
    }

    watch.abort();
    assert_eq!(*file.0.log.lock(), [r#"Failed("empty")"#, "Recovered(1)"]);
    assert_eq!(value.newer_than(&first).await.as_deref(), Some(&2));
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

#[tokio::test]
async fn reload_that_hangs_delays_its_caller_for_a_second() {
    let file = TestFile::default();
    let value = file.open(1);
    let used = value.current();
    let _gate = file.block();
    file.write(Ok(2));

    let began = Instant::now();
    value.reload().await;
    assert_eq!(value.newer_than(&used).await, None);

    assert!(began.elapsed() < RELOAD_TIMEOUT, "{:?}", began.elapsed());
    assert_eq!(*value.current(), 1);
}
