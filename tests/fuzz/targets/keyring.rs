//! The manifest of the keys, beside keys that are there: `{access}`, `{refresh}` and `{limiter}` in the input stand for their
//! ids, and their files are `access`, `refresh` and `limiter`.
#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use postern::{
    clock::{Clock as _, SystemClock},
    keys::{self, KeyEntry, KeyState, Keyring, MANIFEST, Purpose},
};
use postern_fuzz::write_private;

/// The directory, and what its manifest was.
static MADE: LazyLock<(PathBuf, Vec<KeyEntry>)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary directory").keep();
    let made = keys::generate(&directory, SystemClock.now()).expect("keys can be made");
    for key in &made {
        fs::rename(directory.join(&key.file), directory.join(key.purpose.to_string())).expect("a file of a key");
    }
    (directory, made)
});

libfuzzer_sys::fuzz_target!(|manifest: &str| {
    let (directory, made) = &*MADE;
    let id = |text: String, key: &KeyEntry| text.replace(&format!("{{{}}}", key.purpose), &key.id);
    let manifest = made.iter().fold(manifest.to_owned(), id);
    write_private(&directory.join(MANIFEST), manifest.as_bytes());

    let listed = keys::list(directory);
    for KeyEntry { file, .. } in listed.iter().flatten() {
        assert!(!file.contains('/') && ![".", ".."].contains(&file.as_str()), "{file} lies beside the manifest");
    }
    let Ok(keyring) = Keyring::load(directory) else { return };
    assert_eq!(keyring.entries(), listed.expect("what is loaded can be listed"));
    for key in keyring.entries() {
        let same = |made: &KeyEntry| made.id == key.id && key.file == made.purpose.to_string();
        assert!(made.iter().any(same), "{key:?}");
    }
    for purpose in [Purpose::Access, Purpose::Refresh] {
        let active = |key: &&KeyEntry| key.purpose == purpose && key.state == KeyState::Active;
        assert_eq!(keyring.entries().iter().filter(active).count(), 1, "{purpose}");
    }
    assert_eq!(keyring.signing().id, made[0].id);
    assert_eq!(keyring.published().count(), 1);
    assert!(keyring.refresh_key(keyring.refresh()).is_some());
});
