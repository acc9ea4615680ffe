//! Splits a file into its JSON objects, without parsing them: a broken one must not stop the others, and the file may be larger
//! than the memory.

use std::io::{self, BufRead};

/// The maximum size of an object in bytes.
const MAX_ITEM_BYTES: usize = 16 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The objects of an array, or the objects of a file with one per line.
pub(super) struct JsonItems<R> {
    input: R,
    item: Vec<u8>,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Unknown,
    Array,
    Lines,
    Ended,
}

/// Why a file has no next object.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoItem {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the file ends early: expected `]`")]
    EndsEarly,
    #[error(
        "unexpected text before, between or after the objects: expected an array of objects, or an object on each line"
    )]
    NoObject,
    #[error("an object of over 16 MiB: expected a closing quotation mark and a closing brace")]
    TooLarge,
}

/// The position in an object.
#[derive(Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
}

impl Nesting {
    /// Takes the next byte. Returns whether it ends the object.
    fn takes_last(&mut self, byte: u8) -> bool {
        if self.in_string {
            // A string has no line breaks: without its quotation mark, it ends here, and the object is broken.
            if byte == b'\n' || (byte == b'"' && !self.is_escaped) {
                self.in_string = false;
            }
            self.is_escaped = byte == b'\\' && !self.is_escaped;
            return false;
        }
        match byte {
            b'"' => (self.in_string, self.is_escaped) = (true, false),
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

impl<R: BufRead> JsonItems<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, item: Vec::new(), form: Form::Unknown }
    }

    /// Returns the text of the next object, or `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, NoItem> {
        self.item.clear();
        if self.form == Form::Unknown {
            self.begin()?;
        }
        let is_found = match self.form {
            Form::Lines => self.read_line()?,
            Form::Array => self.read_element()?,
            Form::Unknown | Form::Ended => false,
        };
        Ok(is_found.then_some(&self.item))
    }

    fn begin(&mut self) -> Result<(), NoItem> {
        if self.input.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
            self.input.consume(BYTE_ORDER_MARK.len());
        }
        self.form = match self.skip(|byte| byte.is_ascii_whitespace())? {
            Some(b'[') => {
                self.input.consume(1);
                Form::Array
            }
            Some(b'{') => Form::Lines,
            Some(_) => return Err(NoItem::NoObject),
            None => Form::Ended,
        };
        Ok(())
    }

    /// Reads a line that is not blank.
    fn read_line(&mut self) -> Result<bool, NoItem> {
        if self.skip(|byte| byte.is_ascii_whitespace())?.is_none() {
            return Ok(false);
        }
        self.take(|byte| byte == b'\n')?;
        Ok(true)
    }

    fn read_element(&mut self) -> Result<bool, NoItem> {
        match self.skip(|byte| byte.is_ascii_whitespace() || byte == b',')? {
            Some(b'{') => {
                let mut nesting = Nesting::default();
                if self.take(|byte| nesting.takes_last(byte))? { Ok(true) } else { Err(NoItem::EndsEarly) }
            }
            Some(b']') => {
                self.input.consume(1);
                self.form = Form::Ended;
                Ok(false)
            }
            Some(_) => Err(NoItem::NoObject),
            None => Err(NoItem::EndsEarly),
        }
    }

    /// Skips bytes. Returns the next byte, which is not consumed.
    fn skip(&mut self, is_skipped: impl Fn(u8) -> bool) -> io::Result<Option<u8>> {
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(None);
            }
            if let Some(position) = buffer.iter().position(|byte| !is_skipped(*byte)) {
                let byte = buffer[position];
                self.input.consume(position);
                return Ok(Some(byte));
            }
            let length = buffer.len();
            self.input.consume(length);
        }
    }

    /// Adds bytes to the item, up to the last one. Returns whether the last one was found before the end of the file.
    fn take(&mut self, mut is_last: impl FnMut(u8) -> bool) -> Result<bool, NoItem> {
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(false);
            }
            let end = buffer.iter().position(|byte| is_last(*byte)).map(|position| position + 1);
            let taken = end.unwrap_or(buffer.len());
            if self.item.len() + taken > MAX_ITEM_BYTES {
                return Err(NoItem::TooLarge);
            }
            self.item.extend_from_slice(&buffer[..taken]);
            self.input.consume(taken);
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn items(text: &str) -> Result<Vec<String>, NoItem> {
        // A small buffer, so that objects begin and end anywhere in it.
        let mut items = JsonItems::new(BufReader::with_capacity(3, text.as_bytes()));
        let mut found = Vec::new();
        while let Some(item) = items.next()? {
            found.push(String::from_utf8_lossy(item).trim().to_owned());
        }
        Ok(found)
    }

    #[test]
    fn objects_of_an_array_are_split() {
        let text = "\u{feff} [\n{\"a\": [1, {\"b\": \"}]\\\"\\\\\"}]},\n {} ]\n";
        assert_eq!(items(text).expect("objects"), [r#"{"a": [1, {"b": "}]\"\\"}]}"#, "{}"]);
        assert!(items("[]").expect("no objects").is_empty());
        assert!(items(" \n").expect("no objects").is_empty());
    }

    #[test]
    fn objects_on_lines_are_split() {
        assert_eq!(
            items("{\"a\": 1}\n\n{\"broken\": \r\n{\"b\": 2}").expect("objects"),
            ["{\"a\": 1}", "{\"broken\":", "{\"b\": 2}"]
        );
    }

    #[test]
    fn string_without_its_end_breaks_one_object() {
        let text = "[{\"a\": \"x\n},\n{\"b\": 2}\n]";
        assert_eq!(items(text).expect("objects"), ["{\"a\": \"x\n}", "{\"b\": 2}"]);
    }

    #[test]
    fn truncated_array_is_an_error() {
        for text in ["[", "[{\"a\": 1}", "[{\"a\": 1},", "[{\"a\": ", "[{\"a"] {
            assert!(matches!(items(text), Err(NoItem::EndsEarly)), "{text}");
        }
    }

    #[test]
    fn other_json_is_an_error() {
        for text in ["1", "[1]", "[\"a\"]", "[{} x]", "null"] {
            assert!(matches!(items(text), Err(NoItem::NoObject)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_array_of_objects_is_split(values in prop::collection::vec("\\PC{0,12}|[\\\\\"{}\\[\\]\n,]{0,8}", 0..6)) {
            let objects: Vec<_> = values.iter().map(|value| serde_json::json!({"a": value, "b": [[value]]})).collect();
            for text in [serde_json::to_string(&objects), serde_json::to_string_pretty(&objects)] {
                let found = items(&text.expect("JSON")).expect("objects");
                let parsed: Vec<serde_json::Value> = found.iter().map(|item| serde_json::from_str(item).expect("JSON")).collect();
                prop_assert_eq!(&parsed, &objects);
            }
        }
    }
}
