//! The file of the operators' API keys.
#![no_main]

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use futures_util::FutureExt as _;
use postern::{
    api_keys::ApiClients,
    clock::{Clock, ManualClock},
};
use postern_fuzz::write_private;

/// Longer than any word that is said of a wrong line.
const LONG: usize = 16;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| tempfile::tempdir().expect("a temporary directory").keep().join("k"));

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    write_private(&FILE, file);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    match ApiClients::of_file(FILE.clone(), clock) {
        Err(error) => {
            let said = error.to_string().replace(&FILE.display().to_string(), "");
            let text = String::from_utf8_lossy(file);
            let told = text.split_whitespace().find(|word| word.len() >= LONG && said.contains(word));
            assert_eq!(told, None, "{said}");
        }
        Ok(operators) => judge(&operators, str::from_utf8(file).expect("a file that counts is text")),
    }
});

/// Each key opens to its operator, and nothing else in the file does.
fn judge(operators: &ApiClients, text: &str) {
    // It was read less than a second ago, and so is not read again: there is nothing to wait for.
    let name_of = |key: &str| operators.by_key(key).now_or_never().flatten().map(|name| name.as_str().to_owned());
    for line in text.lines().map(str::trim) {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        match words[..] {
            [name, key] if !line.starts_with('#') => {
                assert_eq!(name_of(key).as_deref(), Some(name));
                assert!((32..=256).contains(&key.len()) && key.is_ascii(), "{key}");
            }
            _ => assert!(line.is_empty() || line.starts_with('#'), "{line}"),
        }
        assert_eq!(name_of(line), None, "a whole line is no key");
    }
    assert_eq!(name_of(""), None);
}
