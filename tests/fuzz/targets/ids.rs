//! Session ids and list cursors: each has one text, except for the case of the letters of an id.
#![no_main]

use postern::model::{Cursor, SessionId};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<SessionId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
        assert_eq!(text.len(), 36);
    }
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), text);
        assert!((-9999..=9999).contains(&cursor.created.year()));
    }
});
