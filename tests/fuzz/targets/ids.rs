//! What a caller names a session by, and a place in a list: each has one text, but for the case of an id's letters.
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
