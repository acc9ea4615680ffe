//! Session ids and list cursors: each has one text, except for the case of the letters of an id.
#![no_main]

use postern::model::{SessionId, UserCursor};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<SessionId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
        assert_eq!(text.len(), 36);
    }
    if let Ok(cursor) = text.parse::<UserCursor>() {
        assert_eq!(cursor.to_string(), text);
    }
});
