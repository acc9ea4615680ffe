use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{super::scopes::Scope, *};
use crate::{clock::SystemClock, os::private_files};

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
    api_clients.by_key(key).await.map(|client| client.name.as_str().to_owned())
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
async fn scopes_belong_to_the_key_and_default_to_introspect() {
    let text = format!("billing {KEY}\nbilling {OTHER_KEY}\tadmin:read,introspect\n");
    let api_clients = KeysFile::with(&text).api_clients().expect("a valid file");

    let scopes = async |key| api_clients.by_key(key).await.map(|client| client.scopes.to_string());

    assert_eq!(scopes(KEY).await.as_deref(), Some("introspect"));
    assert_eq!(scopes(OTHER_KEY).await.as_deref(), Some("introspect,admin:read"));
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
    let lines = [
        KEY,
        &format!("search {KEY} # new"),
        &format!("se:arch {KEY}"),
        &long_name,
        "search secret",
        &too_long,
        &format!("search {KEY} admin:write"),
        &format!("search {KEY} introspect,introspect"),
        &format!("search {KEY} #"),
    ];
    let faults: Vec<_> = lines.into_iter().map(fault).collect();
    insta::assert_debug_snapshot!(faults, @r#"
    [
        "line 3: expected a name, a key and optionally scopes, separated by white space",
        "line 3: expected a name, a key and optionally scopes, separated by white space",
        "line 3: invalid name: expected 1 to 64 characters of A-Z a-z 0-9 . _ -",
        "line 3: invalid name: expected 1 to 64 characters of A-Z a-z 0-9 . _ -",
        "line 3: invalid key: expected 32 to 256 ASCII characters, as `openssl rand -base64 32` prints",
        "line 3: invalid key: expected 32 to 256 ASCII characters, as `openssl rand -base64 32` prints",
        "line 3: invalid scopes: expected introspect, admin:read or admin, or several of them, separated by commas",
        "line 3: invalid scopes: expected each scope once",
        "line 3: invalid scopes: expected introspect, admin:read or admin, or several of them, separated by commas",
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
async fn removed_scope_is_missing_after_a_second() {
    let file = KeysFile::with(&format!("billing {KEY} admin\n"));
    let api_clients = file.api_clients().expect("a valid file");

    file.write(&format!("billing {KEY} admin:read\n"));
    file.clock.advance(Duration::SECOND);

    let client = api_clients.by_key(KEY).await.expect("a client");
    assert!(client.scopes.permit(Scope::AdminRead) && !client.scopes.permit(Scope::Admin));
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
