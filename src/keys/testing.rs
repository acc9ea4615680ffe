//! What tests of keys and tokens share.

use std::{path::Path, sync::Arc};

use time::OffsetDateTime;

use super::{
    entry::{KeyEntry, KeyState, Purpose},
    keyring::Keyring,
    lifecycle::generate,
    manifest::{Manifest, list},
    reload::LiveKeyring,
};

/// A directory with an active key for each purpose, made in 1970.
pub fn generated() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    generate(directory.path(), OffsetDateTime::UNIX_EPOCH).expect("keys can be made");
    directory
}

/// Edits the manifest, as a person might.
pub fn rewrite(directory: &Path, change: impl Fn(&mut Vec<KeyEntry>)) {
    let mut keys = list(directory).expect("a manifest");
    change(&mut keys);
    Manifest::write(directory, &keys).expect("it can be written");
}

/// Purpose and state of each key.
pub fn states(directory: &Path) -> Vec<(Purpose, KeyState)> {
    list(directory).expect("a manifest").iter().map(|key| (key.purpose, key.state)).collect()
}

/// Keys of its own.
pub fn keys() -> Arc<LiveKeyring> {
    keys_in_a_directory().0
}

/// A keyring of its own.
pub fn keyring() -> Arc<Keyring> {
    keys().current()
}

/// The bytes of a text in hexadecimal digits.
pub fn bytes(digits: &str) -> Vec<u8> {
    let digit = |place| u8::from_str_radix(&digits[place..place + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(digit).collect()
}

/// Keys of its own, and where they are.
pub fn keys_in_a_directory() -> (Arc<LiveKeyring>, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    generate(directory.path(), OffsetDateTime::UNIX_EPOCH).expect("keys can be made");
    (Arc::new(LiveKeyring::open(directory.path()).expect("keys can be read")), directory)
}

/// The same keys for all cases of a property test: making keys waits for the disk.
pub fn shared_keys() -> Arc<LiveKeyring> {
    static SHARED: std::sync::LazyLock<Arc<LiveKeyring>> = std::sync::LazyLock::new(keys);
    Arc::clone(&SHARED)
}
