//! Helpers for tests of keys and tokens.

use std::{path::Path, sync::Arc};

use time::OffsetDateTime;

use super::{
    entry::{KeyEntry, KeyState, Purpose},
    keyring::Keyring,
    lifecycle::generate,
    manifest::{Manifest, list},
    reload::LiveKeyring,
};

/// Returns a directory with an active key for each purpose, created in 1970.
pub fn generated() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    generate(directory.path(), OffsetDateTime::UNIX_EPOCH).expect("keys can be generated");
    directory
}

/// Edits the manifest.
pub fn rewrite(directory: &Path, change: impl Fn(&mut Vec<KeyEntry>)) {
    let mut keys = list(directory).expect("a manifest");
    change(&mut keys);
    Manifest::write(directory, &keys).expect("the manifest can be written");
}

/// Returns the purpose and state of each key.
pub fn states(directory: &Path) -> Vec<(Purpose, KeyState)> {
    list(directory).expect("a manifest").iter().map(|key| (key.purpose, key.state)).collect()
}

/// Returns new keys.
pub fn keys() -> Arc<LiveKeyring> {
    keys_in_a_directory().0
}

/// Returns a new keyring.
pub fn keyring() -> Arc<Keyring> {
    keys().current()
}

/// Decodes hexadecimal digits.
pub fn bytes(digits: &str) -> Vec<u8> {
    let byte = |start| u8::from_str_radix(&digits[start..start + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// Returns new keys and their directory.
pub fn keys_in_a_directory() -> (Arc<LiveKeyring>, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    generate(directory.path(), OffsetDateTime::UNIX_EPOCH).expect("keys can be generated");
    (Arc::new(LiveKeyring::open(directory.path()).expect("keys can be read")), directory)
}

/// Returns the same keys to all cases of a property test: generating keys waits for the disk.
pub fn shared_keys() -> Arc<LiveKeyring> {
    static SHARED: std::sync::LazyLock<Arc<LiveKeyring>> = std::sync::LazyLock::new(keys);
    Arc::clone(&SHARED)
}
