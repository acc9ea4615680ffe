//! Names of users.
#![no_main]

use postern::model::{MAX_NAME_CHARACTERS, Name};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(name) = text.parse::<Name>() else { return };
    let normalised = name.as_str();

    assert!((1..=MAX_NAME_CHARACTERS).contains(&normalised.chars().count()), "{normalised:?}");
    let is_refused = |character: char| {
        character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!normalised.contains(is_refused), "{normalised:?}");
    assert_eq!(normalised.trim(), normalised);
    assert_eq!(normalised.parse::<Name>().as_ref(), Ok(&name), "the normal form is stable");
    assert_eq!(format!("\t{normalised}\u{3000}").parse::<Name>(), Ok(name.clone()), "space is trimmed");
    assert_eq!(format!("\u{200e}{normalised}\u{200b}").parse::<Name>(), Ok(name), "invisible characters are removed");
});
