//! The file of API keys.
#![no_main]

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use futures_util::FutureExt as _;
use postern::{
    api_keys::ApiClients,
    clock::{Clock, ManualClock},
};
use postern_fuzz::write_private;

/// Longer than any word of an error message.
const LONG: usize = 16;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| tempfile::tempdir().expect("a temporary directory").keep().join("k"));

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    write_private(&FILE, file);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    match ApiClients::of_file(FILE.clone(), clock) {
        Err(error) => {
            let message = error.to_string().replace(&FILE.display().to_string(), "");
            let text = String::from_utf8_lossy(file);
            let leaked = text.split_whitespace().find(|word| word.len() >= LONG && message.contains(word));
            assert_eq!(leaked, None, "{message}");
        }
        Ok(clients) => {
            let text = str::from_utf8(file).expect("an accepted file in UTF-8");
            check(&clients, text.strip_prefix('\u{feff}').unwrap_or(text));
        }
    }
});

/// Each key names its client, and no other text of the file is a key. A comment may repeat a key that begins with `#`.
fn check(clients: &ApiClients, text: &str) {
    // The file was read less than a second ago, so it is not read again and the future is ready.
    let name_of =
        |key: &str| clients.by_key(key).now_or_never().flatten().map(|client| client.name.as_str().to_owned());
    let lines = || text.lines().map(str::trim);
    let mut keys = HashSet::new();
    for line in lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [name, key] | [name, key, _] if !line.starts_with('#') => {
                assert_eq!(name_of(key).as_deref(), Some(name));
                assert!((32..=256).contains(&key.len()) && key.is_ascii(), "{key}");
                keys.insert(key);
            }
            _ => assert!(line.is_empty() || line.starts_with('#'), "{line}"),
        }
    }
    for line in lines().filter(|line| !keys.contains(line)) {
        assert_eq!(name_of(line), None, "a whole line is a key");
    }
    assert_eq!(name_of(""), None);
}
