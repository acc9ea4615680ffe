//! The manifest of the keys, in a directory with keys. `{access}`, `{refresh}` and `{limiter}` in the input are replaced by
//! the ids of the keys, whose files are `access`, `refresh` and `limiter`.
#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use postern::{
    clock::{Clock as _, SystemClock},
    keys::{self, KeyEntry, KeyState, Keyring, MANIFEST, Purpose},
};
use postern_fuzz::write_private;

/// The directory, and the entries of its original manifest.
static GENERATED: LazyLock<(PathBuf, Vec<KeyEntry>)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary directory").keep();
    let generated = keys::generate(&directory, SystemClock.now()).expect("generated keys");
    for key in &generated {
        fs::rename(directory.join(&key.file), directory.join(key.purpose.to_string())).expect("a key file");
    }
    (directory, generated)
});

libfuzzer_sys::fuzz_target!(|manifest: &str| {
    let (directory, generated) = &*GENERATED;
    let id = |text: String, key: &KeyEntry| text.replace(&format!("{{{}}}", key.purpose), &key.id);
    let manifest = generated.iter().fold(manifest.to_owned(), id);
    write_private(&directory.join(MANIFEST), manifest.as_bytes());

    let listed = keys::list(directory);
    for KeyEntry { file, .. } in listed.iter().flatten() {
        assert!(!file.contains('/') && ![".", ".."].contains(&file.as_str()), "{file} is outside of the directory");
    }
    let Ok(keyring) = Keyring::load(directory) else { return };
    assert_eq!(keyring.entries(), listed.expect("a list of a loadable keyring"));
    for key in keyring.entries() {
        let is_key = |original: &KeyEntry| original.id == key.id && key.file == original.purpose.to_string();
        assert!(generated.iter().any(is_key), "{key:?}");
    }
    for purpose in [Purpose::Access, Purpose::Refresh] {
        let active = |key: &&KeyEntry| key.purpose == purpose && key.state == KeyState::Active;
        assert_eq!(keyring.entries().iter().filter(active).count(), 1, "{purpose}");
    }
    assert_eq!(keyring.signing().id, generated[0].id);
    assert_eq!(keyring.published().count(), 1);
    assert!(keyring.refresh_key(keyring.refresh()).is_some());
});
