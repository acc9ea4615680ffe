//! The set of keys that is in use, while its directory changes.

use std::{fs, io::Write as _, process::Command};

use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

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

/// What verifies a token under a key.
fn under(id: &str) -> impl Fn(&Keyring) -> Result<(), VerifyError> {
    |keyring| keyring.verifying(id).map(drop).ok_or(VerifyError::UnknownKey)
}

fn opened(directory: &tempfile::TempDir) -> Arc<LiveKeyring> {
    Arc::new(LiveKeyring::open(directory.path()).expect("keys"))
}

#[tokio::test]
async fn a_new_set_is_taken_when_it_is_read() {
    let directory = generated();
    let keys = opened(&directory);
    let id = next_key(directory.path());

    assert!(keys.current().verifying(&id).is_none());
    keys.reload().await;

    assert!(keys.current().verifying(&id).is_some());
}

#[tokio::test(start_paused = true)]
async fn the_directory_is_read_every_ten_seconds() {
    let directory = generated();
    let keys = opened(&directory);
    let following = tokio::spawn(Arc::clone(&keys).watch());
    let id = next_key(directory.path());
    let start = Instant::now();

    // The clock moves on by itself where nobody has anything to do.
    while keys.current().verifying(&id).is_none() {
        sleep(Duration::from_millis(100)).await;
    }

    assert!((Duration::from_secs(10)..Duration::from_secs(11)).contains(&start.elapsed()), "{:?}", start.elapsed());
    following.abort();
}

#[tokio::test(start_paused = true)]
async fn an_unknown_id_has_the_directory_read_at_once_and_once_a_second() {
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

/// A directory whose newest key is read from a pipe, so that reading lasts until somebody writes into it.
fn with_a_pipe(directory: &Path) -> (String, PathBuf, Vec<u8>) {
    let id = next_key(directory);
    let file = directory.join(list(directory).expect("a manifest").pop().expect("a key").file);
    let paserk = fs::read(&file).expect("a text");
    fs::remove_file(&file).expect("it is there");
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&file).status().expect("mkfifo").success());
    (id, file, paserk)
}

#[tokio::test]
async fn whoever_meets_an_unknown_id_while_the_directory_is_read_waits_for_what_that_finds() {
    let directory = generated();
    let keys = opened(&directory);
    let (id, file, paserk) = with_a_pipe(directory.path());

    let check = || {
        let (keys, id) = (Arc::clone(&keys), id.clone());
        tokio::spawn(async move { keys.check(under(&id)).await })
    };
    let reading = check();
    // Opened as soon as the reader is there, who waits until there is something in it and it is closed.
    let open = move || fs::OpenOptions::new().write(true).open(&file).expect("the pipe opens");
    let mut pipe = tokio::task::spawn_blocking(open).await.expect("no panic");
    let waiting = check();
    tokio::task::yield_now().await;
    pipe.write_all(&paserk).expect("it is read");
    drop(pipe);

    assert_eq!(reading.await.expect("no panic"), Ok(()));
    assert_eq!(waiting.await.expect("no panic"), Ok(()));
}

#[tokio::test]
async fn a_directory_that_hangs_holds_up_nobody_but_those_who_wait_for_it_and_is_told_of() {
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

    pipe.write_all(&paserk).expect("it is read");
    drop(pipe);
    for forged in forged {
        assert_eq!(forged.await.expect("no panic"), Err(VerifyError::UnknownKey));
    }
    assert!(keys.is_readable());
}

#[tokio::test]
async fn what_is_forged_has_nothing_read() {
    let directory = generated();
    let keys = opened(&directory);
    let id = next_key(directory.path());

    assert_eq!(keys.check(|_| Err::<(), _>(VerifyError::Invalid)).await, Err(VerifyError::Invalid));

    assert!(keys.current().verifying(&id).is_none());
}

/// Reads the directory on this thread.
fn read(keys: &LiveKeyring) {
    keys.0.reload_blocking();
}

#[test]
fn the_last_good_set_stays_in_use_where_the_directory_cannot_be_used() {
    let two_active = |directory: &Path| {
        next_key(directory);
        rewrite(directory, |keys| keys.iter_mut().for_each(|key| key.state = KeyState::Active));
    };
    let half_written = |directory: &Path| {
        next_key(directory);
        let file = list(directory).expect("a manifest").pop().expect("a key").file;
        fs::remove_file(directory.join(file)).expect("it is there");
    };
    let cut_off = |directory: &Path| {
        let text = fs::read_to_string(directory.join(MANIFEST)).expect("a text");
        fs::write(directory.join(MANIFEST), &text[..text.len() / 2]).expect("it can be written");
    };
    let emptied = |directory: &Path| fs::remove_file(directory.join(MANIFEST)).expect("it is there");
    let breaks: [&dyn Fn(&Path); 4] = [&two_active, &half_written, &cut_off, &emptied];
    for breaks in breaks {
        let directory = generated();
        let keys = opened(&directory);
        let (before, good) = (keys.current(), fs::read(directory.path().join(MANIFEST)).expect("a manifest"));

        breaks(directory.path());
        read(&keys);
        assert!(!keys.is_readable());
        assert!(Arc::ptr_eq(&keys.current(), &before));

        crate::os::private_files::write_private(&directory.path().join(MANIFEST), &good).expect("it can be written");
        read(&keys);
        assert!(keys.is_readable());
    }
}

#[test]
fn each_failure_is_logged_once_and_its_end_and_every_change_is_told_with_ids_and_states() {
    let directory = generated();
    let keys = opened(&directory);
    let changes = keys.changes();
    let good = fs::read(directory.path().join(MANIFEST)).expect("a manifest");
    let restore =
        || crate::os::private_files::write_private(&directory.path().join(MANIFEST), &good).expect("it is written");

    let log = logged(|| {
        read(&keys);
        fs::remove_file(directory.path().join(MANIFEST)).expect("it is there");
        read(&keys);
        read(&keys);
        fs::write(directory.path().join(MANIFEST), "{}").expect("it can be written");
        read(&keys);
        restore();
        read(&keys);
        rewrite(directory.path(), |keys| keys.retain(|key| key.purpose != Purpose::Refresh));
        read(&keys);
        restore();
        read(&keys);
    });
    let has_changed = || changes.has_changed().expect("the keys are there");
    assert!(!has_changed(), "the last good set has gone on");
    let id = next_key(directory.path());
    read(&keys);

    let levels: Vec<_> = log.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(levels, ["ERROR", "ERROR", "INFO", "ERROR", "INFO"], "{log}");
    assert!(has_changed());
    let change = changes.borrow().summary();
    assert!(change.contains(&format!("access next {id}")) && change.contains("refresh active k4.lid."), "{change}");
}

/// What is logged meanwhile.
fn logged(work: impl FnOnce()) -> String {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false);
    let subscriber = subscriber.with_writer(move || Writer(Arc::clone(&writer))).finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(log.lock().clone()).expect("a text")
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
