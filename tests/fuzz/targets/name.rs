//! Names of users.
#![no_main]

use postern::model::{MAX_NAME_CHARACTERS, Name};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(name) = text.parse::<Name>() else { return };
    let normalised = name.as_str();

    assert!((1..=MAX_NAME_CHARACTERS).contains(&normalised.chars().count()), "{normalised:?}");
    assert!(!normalised.chars().any(char::is_control), "{normalised:?}");
    assert_eq!(normalised.trim(), normalised);
    assert_eq!(normalised.parse::<Name>().as_ref(), Ok(&name), "the normal form is stable");
    assert_eq!(format!("\t{normalised}\u{3000}").parse::<Name>(), Ok(name), "space is trimmed");
});
