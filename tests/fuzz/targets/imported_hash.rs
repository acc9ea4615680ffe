//! Imported password hashes: an encoded form and a password, separated by a line break.
#![no_main]

use std::{sync::LazyLock, time::Duration};

use postern::{
    metrics::Metrics,
    model::PasswordHash,
    passwords::{Comparison, HashParameters, Hasher, HasherSettings, ImportedHash, Password, WorkPermit},
};
use tokio::runtime::Runtime;

static HASHER: LazyLock<(Runtime, Hasher)> = LazyLock::new(|| {
    let parameters = HashParameters { memory_kib: 8, passes: 1, lanes: 1 };
    let settings = HasherSettings { parameters, threads: 1, max_wait: Duration::from_mins(1) };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    (runtime, Hasher::start(settings, Metrics::new("").hashing).expect("valid parameters"))
});

libfuzzer_sys::fuzz_target!(|input: &str| {
    let (encoded, password) = input.split_once('\n').unwrap_or((input, ""));
    let Ok(parsed) = ImportedHash::parse(encoded) else { return };

    // A hash that is accepted can stand for unknown emails.
    let dummy = ImportedHash::dummy(parsed.recipe()).expect("a recipe of a hash");
    assert_eq!(dummy.recipe(), parsed.recipe());

    let comparison = Comparison::with(&PasswordHash::new(encoded.to_owned())).expect("it has been parsed");
    assert!(comparison.is_imported());
    let (runtime, hasher) = &*HASHER;
    // A costly one would tell no more in more time.
    let password = Password::new(password);
    if hasher.cost(&comparison, &password) <= 1 {
        let permit = WorkPermit::for_command_line();
        let compared = runtime.block_on(hasher.compare(&permit, &password, comparison));
        compared.expect("an empty queue");
    }
});
