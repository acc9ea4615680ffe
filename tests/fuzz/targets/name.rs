//! Names, as somebody sends them.
#![no_main]

use postern::model::{MAX_NAME_CHARACTERS, Name};

libfuzzer_sys::fuzz_target!(|written: &str| {
    let Ok(name) = written.parse::<Name>() else { return };
    let shown = name.as_str();

    assert!((1..=MAX_NAME_CHARACTERS).contains(&shown.chars().count()), "{shown:?}");
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    assert_eq!(shown.trim(), shown);
    assert_eq!(shown.parse::<Name>().as_ref(), Ok(&name), "its own normal form");
    assert_eq!(format!("\t{shown}\u{3000}").parse::<Name>(), Ok(name), "trimmed");
});
