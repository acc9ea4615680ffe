//! API keys of the services that may introspect tokens.
//!
//! A file lists the keys, one per line: the name of the API client, whitespace, the key. Empty lines and lines that start with
//! `#` are ignored. A client may have several keys, so that a key can be replaced without an interruption.

use std::{
    collections::HashSet,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::{Duration, OffsetDateTime};
use tracing::{error, info};

use crate::{
    clock::Clock,
    os::private_files,
    reloading::{FileWatch, ReloadEvent, ReloadSource, Reloading},
};

/// Minimum and maximum length of an API key, in characters. 32 characters of base64 are 192 bits, which cannot be guessed
/// from a digest without salt.
const KEY_CHARACTERS: std::ops::RangeInclusive<usize> = 32..=256;

/// Maximum length of a client's name, in characters.
const MAX_NAME_CHARACTERS: usize = 64;

/// Minimum interval of reloads by requests.
const RELOAD_INTERVAL: Duration = Duration::SECOND;

/// Interval of reloads without requests, so that an invalid file is reported before a client needs a new key.
const WATCH_INTERVAL: std::time::Duration = std::time::Duration::from_secs(10);

/// The name of an API client, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiClientName(Arc<str>);

impl ApiClientName {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a file of API keys is unusable. Never contains the file's content.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeysError {
    /// The file is unreadable, or others can read it.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A line is invalid.
    #[error("{}, line {number}: {fault}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        number: usize,
        /// The fault.
        fault: LineFault,
    },
}

/// The fault of a line in a file of API keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// The line has fewer or more than two words.
    #[error("expected a name, whitespace and a key")]
    NotTwoWords,
    /// The name is invalid.
    #[error("invalid name: expected 1 to {MAX_NAME_CHARACTERS} characters of A-Z a-z 0-9 . _ -")]
    Name,
    /// The key is invalid.
    #[error("invalid key: expected {} to {} ASCII characters, as `openssl rand -base64 32` prints", KEY_CHARACTERS.start(), KEY_CHARACTERS.end())]
    Key,
    /// An earlier line has the same key.
    #[error("duplicate key: an earlier line has the same")]
    Repeated,
}

/// The API clients and their keys. If the file has changed, the first call of [`Self::by_key`] a second or more after the
/// last reload uses the new keys; if the file is unusable, the previous keys stay.
pub struct ApiClients {
    keys: Arc<Reloading<ApiKeysFile>>,
    clock: Arc<dyn Clock>,
    last_reload: Mutex<OffsetDateTime>,
}

struct ApiKeysFile(PathBuf);

/// An API key, of which only the SHA-256 digest is stored.
#[derive(PartialEq)]
struct ApiKey {
    client: ApiClientName,
    digest: [u8; 32],
}

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
        let keys = read(&file)?;
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
    pub async fn by_key(&self, key: &str) -> Option<ApiClientName> {
        if self.is_due() {
            self.keys.reload().await;
        }
        let keys = self.keys.current();
        let digest = Sha256::digest(key);
        // Compares every key, even after a match, so that the duration reveals nothing.
        keys.iter().fold(None, |found, known| {
            let is_same = bool::from(known.digest.ct_eq(digest.as_slice()));
            if is_same { Some(known.client.clone()) } else { found }
        })
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
        let keys = read(&self.0)?;
        Ok((keys != *current).then_some(keys))
    }

    fn log(&self, event: ReloadEvent<'_, Vec<ApiKey>>) {
        match event {
            ReloadEvent::Failed(error) => error!(error, "failed to reload API keys; keeping the previous set"),
            ReloadEvent::Recovered(keys) | ReloadEvent::Changed(keys) => {
                info!(api_clients = names(keys), "API keys reloaded");
            }
        }
    }
}

/// Returns the names of the clients, in the order of the file.
fn names(keys: &[ApiKey]) -> String {
    keys.iter().map(|key| key.client.as_str()).collect::<Vec<_>>().join(", ")
}

fn read(path: &Path) -> Result<Vec<ApiKey>, ApiKeysError> {
    let text = private_files::read_private(path)
        .map_err(|error| ApiKeysError::Unreadable { path: path.to_owned(), reason: error.to_string() })?;
    let mut digests = HashSet::new();
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let keys = lines.map(|(number, line)| {
        let key = parse(line).and_then(|key| digests.insert(key.digest).then_some(key).ok_or(LineFault::Repeated));
        key.map_err(|fault| ApiKeysError::Line { path: path.to_owned(), number, fault })
    });
    keys.collect()
}

fn parse(line: &str) -> Result<ApiKey, LineFault> {
    let mut words = line.split_whitespace();
    let (Some(name), Some(key), None) = (words.next(), words.next(), words.next()) else {
        return Err(LineFault::NotTwoWords);
    };
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() > MAX_NAME_CHARACTERS || !name.bytes().all(is_name_byte) {
        return Err(LineFault::Name);
    }
    if !KEY_CHARACTERS.contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(LineFault::Key);
    }
    Ok(ApiKey { client: ApiClientName(name.into()), digest: Sha256::digest(key).into() })
}

impl fmt::Debug for ApiClients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiClients(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::clock::SystemClock;

    const KEY: &str = "Zm9ydHktZm91ciBjaGFyYWN0ZXJzIG9mIGJhc2U2NAo=";
    const OTHER_KEY: &str = "another-key-that-has-32-characters";

    /// A clock that only [`TestClock::advance`] moves, in both directions.
    struct TestClock(Mutex<OffsetDateTime>);

    impl TestClock {
        fn advance(&self, by: Duration) {
            *self.0.lock() += by;
        }
    }

    impl Clock for TestClock {
        fn offset(&self) -> std::time::Duration {
            std::time::Duration::ZERO
        }

        fn now(&self) -> OffsetDateTime {
            *self.0.lock()
        }
    }

    /// A file of API keys, and a clock.
    struct KeysFile {
        directory: tempfile::TempDir,
        clock: Arc<TestClock>,
    }

    impl KeysFile {
        fn with(text: &str) -> Self {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let file = Self { directory, clock: Arc::new(TestClock(OffsetDateTime::UNIX_EPOCH.into())) };
            file.write(text);
            file
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("api-keys")
        }

        fn write(&self, text: &str) {
            private_files::write_private(&self.path(), text.as_bytes()).expect("a file");
        }

        fn api_clients(&self) -> Result<ApiClients, ApiKeysError> {
            ApiClients::of_file(self.path(), self.clock.clone())
        }
    }

    async fn name_of(api_clients: &ApiClients, key: &str) -> Option<String> {
        api_clients.by_key(key).await.map(|name| name.as_str().to_owned())
    }

    #[tokio::test]
    async fn client_is_found_by_each_of_its_keys_only() {
        let text = format!("# clients\n\nbilling {KEY}\n \t billing\t{OTHER_KEY} \r\n");
        let api_clients = KeysFile::with(&text).api_clients().expect("a valid file");

        for key in [KEY, OTHER_KEY] {
            assert_eq!(name_of(&api_clients, key).await.as_deref(), Some("billing"));
        }
        for key in ["", "billing", &KEY[..32], &format!("{KEY}x"), &KEY.to_lowercase()] {
            assert_eq!(name_of(&api_clients, key).await, None, "{key:?}");
        }
    }

    #[tokio::test]
    async fn missing_or_empty_file_has_no_clients() {
        let without_file = ApiClients::empty(Arc::new(SystemClock));
        let empty = KeysFile::with("# no clients yet\n").api_clients().expect("a valid file");

        for api_clients in [without_file, empty] {
            assert_eq!(name_of(&api_clients, KEY).await, None);
            assert_eq!(name_of(&api_clients, "").await, None);
        }
    }

    #[test]
    fn error_names_line_and_fault_but_not_the_content() {
        let fault = |line: &str| {
            let file = KeysFile::with(&format!("# a comment\nbilling {OTHER_KEY}\n{line}\n"));
            let error = file.api_clients().expect_err("an invalid line").to_string();
            let fault = error.strip_prefix(&format!("{}, ", file.path().display())).expect("the file").to_owned();
            let words = line.split_whitespace().filter(|word| word.len() > 5);
            assert!(words.into_iter().all(|word| !fault.contains(word)), "{fault}");
            fault
        };

        let long_name = format!("{} {KEY}", "n".repeat(65));
        let too_long = format!("search {}", "k".repeat(257));
        let lines =
            [KEY, &format!("search {KEY} # new"), &format!("se:arch {KEY}"), &long_name, "search secret", &too_long];
        let faults: Vec<_> = lines.into_iter().map(fault).collect();
        insta::assert_debug_snapshot!(faults, @r#"
        [
            "line 3: expected a name, whitespace and a key",
            "line 3: expected a name, whitespace and a key",
            "line 3: invalid name: expected 1 to 64 characters of A-Z a-z 0-9 . _ -",
            "line 3: invalid name: expected 1 to 64 characters of A-Z a-z 0-9 . _ -",
            "line 3: invalid key: expected 32 to 256 ASCII characters, as `openssl rand -base64 32` prints",
            "line 3: invalid key: expected 32 to 256 ASCII characters, as `openssl rand -base64 32` prints",
        ]
        "#);
        assert_eq!(fault(&format!("search {}ü", "k".repeat(40))), faults[4]);
        assert_eq!(fault(&format!("search {OTHER_KEY}")), "line 3: duplicate key: an earlier line has the same");
    }

    #[test]
    fn file_that_others_can_read_is_rejected() {
        let file = KeysFile::with(&format!("billing {KEY}\n"));
        for mode in [0o644, 0o604, 0o660] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).expect("a mode");
            let error = file.api_clients().expect_err("exposed").to_string();
            assert!(error.contains(&format!("mode {mode:04o}")), "{error}");
        }

        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o440)).expect("a mode");
        assert!(file.api_clients().is_ok());
    }

    #[tokio::test]
    async fn changed_file_is_used_after_a_second() {
        let file = KeysFile::with(&format!("billing {KEY}\n"));
        let api_clients = file.api_clients().expect("a valid file");

        file.write(&format!("search {OTHER_KEY}\n"));
        file.clock.advance(Duration::milliseconds(999));
        assert_eq!(name_of(&api_clients, KEY).await.as_deref(), Some("billing"));

        file.clock.advance(Duration::milliseconds(1));
        assert_eq!(name_of(&api_clients, KEY).await, None);
        assert_eq!(name_of(&api_clients, OTHER_KEY).await.as_deref(), Some("search"));
    }

    #[tokio::test]
    async fn removed_key_is_rejected_after_the_clock_is_set_back() {
        let file = KeysFile::with(&format!("billing {KEY}\n"));
        let api_clients = file.api_clients().expect("a valid file");

        file.write("");
        file.clock.advance(-Duration::HOUR);

        assert_eq!(name_of(&api_clients, KEY).await, None);
    }

    #[tokio::test]
    async fn unusable_file_keeps_the_previous_keys() {
        let file = KeysFile::with(&format!("billing {KEY}\n"));
        let api_clients = file.api_clients().expect("a valid file");

        for content in ["billing", ""] {
            file.write(content);
            if content.is_empty() {
                fs::remove_file(file.path()).expect("a file");
            }
            file.clock.advance(Duration::SECOND);
            assert_eq!(name_of(&api_clients, KEY).await.as_deref(), Some("billing"));
        }

        file.write(&format!("search {OTHER_KEY}\n"));
        file.clock.advance(Duration::SECOND);
        assert_eq!(name_of(&api_clients, KEY).await, None);
    }

    #[test]
    fn api_keys_cannot_be_printed() {
        let api_clients = KeysFile::with(&format!("billing {KEY}\n")).api_clients().expect("a valid file");

        assert_eq!(format!("{api_clients:?}"), "ApiClients(..)");
    }
}
