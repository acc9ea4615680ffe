//! The set of keys that is in use now.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tracing::{error, info};

use super::{super::Unverified, KeyEntry, Keyring, KeyringError};

/// How often the directory is read: a key that shall be used by everybody is known to everybody by then.
const READING_INTERVAL: Duration = Duration::from_secs(10);

/// How often, at most, an unknown key id has the directory read at once: anybody can make ids up.
const LOOKING_INTERVAL: Duration = Duration::from_secs(1);

/// The keys of a directory, as they are now. What changes there counts within ten seconds, and at once where somebody
/// presents a token under a key that is not known yet. A directory that cannot be used changes nothing.
#[derive(Debug)]
pub struct Keys {
    directory: PathBuf,
    current: RwLock<Arc<Keyring>>,
    /// When an unknown id last had the directory read. Held while it is read: one reads, and whoever else meets an unknown
    /// id waits for what that finds.
    looked: Mutex<Option<Instant>>,
    /// Why the directory cannot be used, if so.
    failure: Mutex<Option<String>>,
}

impl Keys {
    /// Reads a directory that [`super::generate()`] filled.
    ///
    /// # Errors
    /// Those of [`Keyring::load`].
    pub fn open(directory: &Path) -> Result<Self, KeyringError> {
        Ok(Self {
            directory: directory.to_owned(),
            current: RwLock::new(Arc::new(Keyring::load(directory)?)),
            looked: Mutex::default(),
            failure: Mutex::default(),
        })
    }

    /// The last good set.
    #[must_use]
    pub fn current(&self) -> Arc<Keyring> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the directory could be used when it was last read.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        locked(&self.failure).is_none()
    }

    /// Checks something under the keys of now; where it names one that is not among them, once more under those that the
    /// directory has by then.
    ///
    /// # Errors
    /// Those of the check.
    pub fn check<T>(&self, check: impl Fn(&Keyring) -> Result<T, Unverified>) -> Result<T, Unverified> {
        match check(&self.current()) {
            Err(Unverified::UnknownKey) => {
                self.look_again();
                check(&self.current())
            }
            outcome => outcome,
        }
    }

    /// Reads the directory every ten seconds, for as long as the process runs.
    pub async fn follow(self: Arc<Self>) {
        loop {
            sleep(READING_INTERVAL).await;
            let keys = Arc::clone(&self);
            // Where the disk is slow, no request waits for it that knows its key.
            if let Err(error) = tokio::task::spawn_blocking(move || keys.read_again()).await {
                error!(%error, "reading the keys failed");
            }
        }
    }

    /// Reads the directory now.
    pub fn read_again(&self) {
        let _one_at_a_time = locked(&self.looked);
        self.read();
    }

    /// Reads the directory, unless that was done for an unknown id less than a second ago. These are a few small files,
    /// which the system has in memory: no other thread is asked to do it.
    fn look_again(&self) {
        let mut looked = locked(&self.looked);
        if looked.is_none_or(|looked| looked.elapsed() >= LOOKING_INTERVAL) {
            self.read();
            *looked = Some(Instant::now());
        }
    }

    fn read(&self) {
        let loaded = Keyring::load(&self.directory);
        let mut failure = locked(&self.failure);
        match loaded {
            Ok(keyring) => {
                if failure.take().is_some() {
                    info!("the keys can be used again");
                }
                if keyring.entries() != self.current().entries() {
                    info!(keys = said(keyring.entries()), "the keys have changed");
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keyring);
                }
            }
            Err(error) => {
                let error = error.to_string();
                if failure.as_ref() != Some(&error) {
                    error!(error, "the keys cannot be used: the last good ones go on");
                    *failure = Some(error);
                }
            }
        }
    }
}

#[cfg(test)]
impl Keys {
    /// These keys, for ever.
    pub(in crate::tokens) fn of(keyring: Arc<Keyring>) -> Self {
        Self {
            directory: PathBuf::new(),
            current: RwLock::new(keyring),
            looked: Mutex::default(),
            failure: Mutex::default(),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Purposes, states and ids, which are no secrets.
fn said(entries: &[KeyEntry]) -> String {
    let key = |key: &KeyEntry| format!("{} {} {}", key.purpose, key.state, key.id);
    entries.iter().map(key).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, process::Command, sync::mpsc};

    use time::OffsetDateTime;

    use super::{
        super::{
            KeyState, MANIFEST, Purpose, list, publish, replace,
            testing::{generated, rewrite},
        },
        *,
    };

    fn next_key(directory: &Path) -> String {
        publish(directory, Purpose::Access, OffsetDateTime::UNIX_EPOCH).expect("a next key");
        list(directory).expect("a manifest").pop().expect("a key").id
    }

    /// What verifies a token under a key.
    fn under(id: &str) -> impl Fn(&Keyring) -> Result<(), Unverified> {
        |keyring| keyring.verifying(id).map(drop).ok_or(Unverified::UnknownKey)
    }

    #[test]
    fn a_new_set_is_taken_when_it_is_read() {
        let directory = generated();
        let keys = Keys::open(directory.path()).expect("keys");
        let id = next_key(directory.path());

        assert!(keys.current().verifying(&id).is_none());
        keys.read_again();

        assert!(keys.current().verifying(&id).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_directory_is_read_every_ten_seconds() {
        let directory = generated();
        let keys = Arc::new(Keys::open(directory.path()).expect("keys"));
        let following = tokio::spawn(Arc::clone(&keys).follow());
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
        let keys = Keys::open(directory.path()).expect("keys");

        let first = next_key(directory.path());
        assert_eq!(keys.check(under(&first)), Ok(()));

        replace(directory.path(), Purpose::Access, OffsetDateTime::UNIX_EPOCH).expect("a new key");
        let second = list(directory.path()).expect("a manifest").pop().expect("a key").id;
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(keys.check(under(&second)), Err(Unverified::UnknownKey));
        assert_eq!(keys.check(under(&first)), Ok(()));

        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(keys.check(under(&second)), Ok(()));
        assert_eq!(keys.check(under(&first)), Err(Unverified::UnknownKey));
    }

    #[test]
    fn whoever_meets_an_unknown_id_while_the_directory_is_read_waits_for_what_that_finds() {
        let directory = generated();
        let keys = Keys::open(directory.path()).expect("keys");
        let id = next_key(directory.path());
        let file = directory.path().join(list(directory.path()).expect("a manifest").pop().expect("a key").file);
        let paserk = fs::read(&file).expect("a text");
        fs::remove_file(&file).expect("it is there");
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&file).status().expect("mkfifo").success());

        let (told, has_met) = mpsc::channel();
        let meet = || keys.check(|keyring| under(&id)(keyring).inspect_err(|_| _ = told.send(())));
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| keys.check(under(&id)));
            // Opened as soon as the reader is there, who waits until there is something in it and it is closed.
            let mut pipe = fs::OpenOptions::new().write(true).open(&file).expect("the pipe opens");
            let waiting = scope.spawn(meet);
            has_met.recv().expect("it does not know the id");
            pipe.write_all(&paserk).expect("it is read");
            drop(pipe);

            assert_eq!([reading, waiting].map(|thread| thread.join().expect("no panic")), [Ok(()); 2]);
        });
    }

    #[test]
    fn what_is_forged_has_nothing_read() {
        let directory = generated();
        let keys = Keys::open(directory.path()).expect("keys");
        let id = next_key(directory.path());

        assert_eq!(keys.check(|_| Err::<(), _>(Unverified::Invalid)), Err(Unverified::Invalid));

        assert!(keys.current().verifying(&id).is_none());
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
            let keys = Keys::open(directory.path()).expect("keys");
            let (before, good) = (keys.current(), fs::read(directory.path().join(MANIFEST)).expect("a manifest"));

            breaks(directory.path());
            keys.read_again();
            assert!(!keys.is_readable());
            assert!(Arc::ptr_eq(&keys.current(), &before));

            crate::files::write_private(&directory.path().join(MANIFEST), &good).expect("it can be written");
            keys.read_again();
            assert!(keys.is_readable());
        }
    }

    #[test]
    fn each_failure_is_logged_once_and_its_end_and_every_change_with_ids_and_states() {
        let directory = generated();
        let keys = Keys::open(directory.path()).expect("keys");
        let good = fs::read(directory.path().join(MANIFEST)).expect("a manifest");
        let restore = || crate::files::write_private(&directory.path().join(MANIFEST), &good).expect("it is written");

        let log = logged(|| {
            keys.read_again();
            fs::remove_file(directory.path().join(MANIFEST)).expect("it is there");
            keys.read_again();
            keys.read_again();
            fs::write(directory.path().join(MANIFEST), "{}").expect("it can be written");
            keys.read_again();
            restore();
            keys.read_again();
            rewrite(directory.path(), |keys| keys.retain(|key| key.purpose != Purpose::Limiter));
            keys.read_again();
            restore();
            keys.read_again();
        });
        let id = next_key(directory.path());
        let change = logged(|| keys.read_again());

        let levels: Vec<_> = log.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(levels, ["ERROR", "ERROR", "INFO", "ERROR", "INFO"], "{log}");
        assert!(change.contains(&format!("access next {id}")) && change.contains("refresh active k4.lid."), "{change}");
    }

    /// What is logged meanwhile.
    fn logged(work: impl FnOnce()) -> String {
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&log);
        let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false);
        let subscriber = subscriber.with_writer(move || Writer(Arc::clone(&writer))).finish();
        tracing::subscriber::with_default(subscriber, work);
        String::from_utf8(locked(&log).clone()).expect("a text")
    }

    struct Writer(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            locked(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
