use std::{fs, io::Write as _, process::Command};

use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout};

use super::*;
use crate::{
    keys::{
        KeyState, MANIFEST, Purpose, add_next, emergency_rotate, list,
        testing::{generated, rewrite},
    },
    reloading::RELOAD_TIMEOUT,
};

fn next_key(directory: &Path) -> String {
    add_next(directory, Purpose::Access, OffsetDateTime::UNIX_EPOCH).expect("a next key");
    list(directory).expect("a manifest").pop().expect("a key").id
}

/// Returns a check that needs the key with this id.
fn under(id: &str) -> impl Fn(&Arc<Keyring>) -> Result<(), VerifyError> {
    |keyring| keyring.verifying(id).map(drop).ok_or(VerifyError::UnknownKey)
}

fn opened(directory: &tempfile::TempDir) -> Arc<LiveKeyring> {
    Arc::new(LiveKeyring::open(directory.path()).expect("keys"))
}

#[tokio::test]
async fn reload_replaces_the_set() {
    let directory = generated();
    let keys = opened(&directory);
    let id = next_key(directory.path());

    assert!(keys.current().verifying(&id).is_none());
    keys.reload().await;

    assert!(keys.current().verifying(&id).is_some());
}

#[tokio::test(start_paused = true)]
async fn directory_is_reloaded_every_ten_seconds() {
    let directory = generated();
    let keys = opened(&directory);
    let watch = tokio::spawn(keys.watch().run);
    let id = next_key(directory.path());
    let start = Instant::now();

    // The paused clock advances whenever all tasks are idle.
    let mut changes = keys.changes();
    timeout(Duration::from_mins(1), changes.changed()).await.expect("a reload in time").expect("the keys exist");

    assert!((Duration::from_secs(10)..Duration::from_secs(11)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(keys.current().verifying(&id).is_some());
    watch.abort();
}

#[tokio::test(start_paused = true)]
async fn unknown_id_reloads_at_once_and_once_a_second() {
    let directory = generated();
    let keys = opened(&directory);

    let first = next_key(directory.path());
    assert_eq!(keys.check(under(&first)).await, Ok(()));

    emergency_rotate(directory.path(), Purpose::Access, OffsetDateTime::UNIX_EPOCH).expect("a new key");
    let second = list(directory.path()).expect("a manifest").pop().expect("a key").id;
    tokio::time::advance(Duration::from_millis(999)).await;
    assert_eq!(keys.check(under(&second)).await, Err(VerifyError::UnknownKey));
    assert_eq!(keys.check(under(&first)).await, Ok(()));

    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(keys.check(under(&second)).await, Ok(()));
    assert_eq!(keys.check(under(&first)).await, Err(VerifyError::UnknownKey));
}

/// Replaces the file of a new key by a pipe, so that a reload lasts until the test writes the key into it.
fn with_a_pipe(directory: &Path) -> (String, PathBuf, Vec<u8>) {
    let id = next_key(directory);
    let file = directory.join(list(directory).expect("a manifest").pop().expect("a key").file);
    let paserk = fs::read(&file).expect("a text");
    fs::remove_file(&file).expect("the file exists");
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&file).status().expect("mkfifo").success());
    (id, file, paserk)
}

#[tokio::test]
async fn unknown_id_waits_for_a_running_reload() {
    let directory = generated();
    let keys = opened(&directory);
    let (id, file, paserk) = with_a_pipe(directory.path());

    let check = || {
        let (keys, id) = (Arc::clone(&keys), id.clone());
        tokio::spawn(async move { keys.check(under(&id)).await })
    };
    let reading = check();
    // Opens when the reader has opened the pipe; the reader then waits until it is closed.
    let open = move || fs::OpenOptions::new().write(true).open(&file).expect("the pipe opens");
    let mut pipe = tokio::task::spawn_blocking(open).await.expect("no panic");
    let waiting = check();
    tokio::task::yield_now().await;
    pipe.write_all(&paserk).expect("the reader exists");
    drop(pipe);

    assert_eq!(reading.await.expect("no panic"), Ok(()));
    assert_eq!(waiting.await.expect("no panic"), Ok(()));
}

#[tokio::test]
async fn hanging_directory_delays_only_unknown_ids() {
    let directory = generated();
    let keys = opened(&directory);
    let known = keys.current().signing().id.clone();
    let (_, file, paserk) = with_a_pipe(directory.path());

    let forged: Vec<_> = (0..8)
        .map(|_| {
            let keys = Arc::clone(&keys);
            tokio::spawn(async move { keys.check(under("k4.pid.nobody")).await })
        })
        .collect();
    let open = move || fs::OpenOptions::new().write(true).open(&file).expect("the pipe opens");
    let mut pipe = tokio::task::spawn_blocking(open).await.expect("no panic");

    assert_eq!(keys.check(under(&known)).await, Ok(()));
    assert!(keys.is_readable());
    tokio::time::pause();
    tokio::time::advance(RELOAD_TIMEOUT).await;
    assert!(!keys.is_readable());
    tokio::time::resume();

    pipe.write_all(&paserk).expect("the reader exists");
    drop(pipe);
    for forged in forged {
        assert_eq!(forged.await.expect("no panic"), Err(VerifyError::UnknownKey));
    }
    assert!(keys.is_readable());
}

#[tokio::test]
async fn forged_token_causes_no_reload() {
    let directory = generated();
    let keys = opened(&directory);
    let id = next_key(directory.path());

    assert_eq!(keys.check(|_| Err::<(), _>(VerifyError::Invalid)).await, Err(VerifyError::Invalid));

    assert!(keys.current().verifying(&id).is_none());
}

/// Reloads on this thread, whose log the tests capture.
fn reload(keys: &LiveKeyring) {
    keys.0.reload_blocking();
}

#[test]
fn unusable_directory_keeps_the_last_good_set() {
    let two_active = |directory: &Path| {
        next_key(directory);
        rewrite(directory, |keys| keys.iter_mut().for_each(|key| key.state = KeyState::Active));
    };
    let half_written = |directory: &Path| {
        next_key(directory);
        let file = list(directory).expect("a manifest").pop().expect("a key").file;
        fs::remove_file(directory.join(file)).expect("the file exists");
    };
    let truncated = |directory: &Path| {
        let text = fs::read_to_string(directory.join(MANIFEST)).expect("a text");
        fs::write(directory.join(MANIFEST), &text[..text.len() / 2]).expect("the manifest can be written");
    };
    let emptied = |directory: &Path| fs::remove_file(directory.join(MANIFEST)).expect("the file exists");
    let faults: [&dyn Fn(&Path); 4] = [&two_active, &half_written, &truncated, &emptied];
    for fault in faults {
        let directory = generated();
        let keys = opened(&directory);
        let (previous, good) = (keys.current(), fs::read(directory.path().join(MANIFEST)).expect("a manifest"));

        fault(directory.path());
        reload(&keys);
        assert!(!keys.is_readable());
        assert!(Arc::ptr_eq(&keys.current(), &previous));

        crate::os::private_files::write_private(&directory.path().join(MANIFEST), &good)
            .expect("the manifest can be written");
        reload(&keys);
        assert!(keys.is_readable());
    }
}

#[test]
fn failure_and_recovery_are_logged_once() {
    let directory = generated();
    let keys = opened(&directory);
    let changes = keys.changes();
    let good = fs::read(directory.path().join(MANIFEST)).expect("a manifest");
    let restore = || {
        crate::os::private_files::write_private(&directory.path().join(MANIFEST), &good)
            .expect("the manifest can be written");
    };

    let log = logged(|| {
        reload(&keys);
        fs::remove_file(directory.path().join(MANIFEST)).expect("the file exists");
        reload(&keys);
        reload(&keys);
        fs::write(directory.path().join(MANIFEST), "{}").expect("the manifest can be written");
        reload(&keys);
        restore();
        reload(&keys);
        rewrite(directory.path(), |keys| keys.retain(|key| key.purpose != Purpose::Refresh));
        reload(&keys);
        restore();
        reload(&keys);
    });
    let has_changed = || changes.has_changed().expect("the keys exist");
    assert!(!has_changed(), "the last good set stays");
    let id = next_key(directory.path());
    reload(&keys);

    let levels: Vec<_> = log.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(levels, ["ERROR", "ERROR", "INFO", "ERROR", "INFO"], "{log}");
    assert!(has_changed());
    let change = changes.borrow().summary();
    assert!(change.contains(&format!("access next {id}")) && change.contains("refresh active k4.lid."), "{change}");
}

/// Returns the log of this thread during `work`.
fn logged(work: impl FnOnce()) -> String {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false);
    let subscriber = subscriber.with_writer(move || LogWriter(Arc::clone(&writer))).finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(log.lock().clone()).expect("a text")
}

struct LogWriter(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
