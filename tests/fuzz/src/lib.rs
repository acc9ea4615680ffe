//! Shared code of the fuzz targets.

mod client;
mod service;

use std::{fs, path::Path, sync::Arc};

use postern::{
    clock::{Clock as _, SystemClock},
    keys::{self, LiveKeyring},
};

pub use self::{
    client::{Response, parse_responses},
    service::{Exchange, TestService},
};

/// Generates keys, loads them and removes their directory.
///
/// # Panics
/// Panics if the directory cannot be written.
#[must_use]
pub fn keys() -> Arc<LiveKeyring> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    keys::generate(directory.path(), SystemClock.now()).expect("generated keys");
    Arc::new(LiveKeyring::open(directory.path()).expect("a keyring"))
}

/// Edits a text. Each edit has four bytes: the operation, the position (two bytes) and the character. Returns `None` if the
/// result is not UTF-8.
#[must_use]
pub fn edited(text: &str, edits: &[u8]) -> Option<String> {
    let mut bytes = text.as_bytes().to_owned();
    for edit in edits.chunks_exact(4).take(16) {
        let position = usize::from(u16::from_be_bytes([edit[1], edit[2]])) % (bytes.len() + 1);
        match edit[0] % 4 {
            0 => bytes.insert(position, edit[3]),
            1 => drop(bytes.splice(position..(position + 1).min(bytes.len()), [edit[3]])),
            2 => drop(bytes.drain(position..(position + 1).min(bytes.len()))),
            _ => bytes.truncate(position),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Replaces every occurrence of a name by a value.
#[must_use]
pub fn replaced(text: &[u8], name: &str, value: &str) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.windows(name.len()).position(|window| window == name.as_bytes()) {
        replaced.extend_from_slice(&rest[..start]);
        replaced.extend_from_slice(value.as_bytes());
        rest = &rest[start + name.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

/// Writes a file with mode 0600.
///
/// # Panics
/// Panics if the file cannot be written.
pub fn write_private(path: &Path, content: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, content).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode");
}
