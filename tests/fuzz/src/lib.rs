//! What the fuzz targets share.

mod client;
mod service;

use std::{fs, path::Path, sync::Arc};

use postern::{
    clock::{Clock as _, SystemClock},
    keys::{self, LiveKeyring},
};

pub use self::{
    client::{Answer, answers},
    service::{Conversation, Served},
};

/// New keys, whose directory is gone already.
#[must_use]
pub fn keys() -> Arc<LiveKeyring> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    keys::generate(directory.path(), SystemClock.now()).expect("keys can be made");
    Arc::new(LiveKeyring::open(directory.path()).expect("keys can be read"))
}

/// A text after some edits, each of them four bytes: what to do, where (two bytes), and with which character. `None` where
/// that leaves no text.
#[must_use]
pub fn edited(text: &str, edits: &[u8]) -> Option<String> {
    let mut bytes = text.as_bytes().to_owned();
    for edit in edits.chunks_exact(4).take(16) {
        let place = usize::from(u16::from_be_bytes([edit[1], edit[2]])) % (bytes.len() + 1);
        match edit[0] % 4 {
            0 => bytes.insert(place, edit[3]),
            1 => drop(bytes.splice(place..(place + 1).min(bytes.len()), [edit[3]])),
            2 => drop(bytes.drain(place..(place + 1).min(bytes.len()))),
            _ => bytes.truncate(place),
        }
    }
    String::from_utf8(bytes).ok()
}

/// A text with a value wherever a name stands.
#[must_use]
pub fn replaced(text: &[u8], name: &str, value: &str) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.windows(name.len()).position(|window| window == name.as_bytes()) {
        replaced.extend_from_slice(&rest[..place]);
        replaced.extend_from_slice(value.as_bytes());
        rest = &rest[place + name.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

/// Writes a file that nobody else may read.
pub fn write_private(path: &Path, content: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, content).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode");
}
