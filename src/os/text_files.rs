//! Text files and standard input: UTF-8, with or without a byte-order mark.
//!
//! All files that people write for this program are read through this module: `tests/architecture` checks that no other code reads
//! such files.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use zeroize::Zeroizing;

/// U+FEFF in UTF-8, which some editors and shells write at the beginning of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Byte-order marks of other encodings (Unicode Standard, section 23.8). UTF-32 comes first: its little-endian mark begins
/// with that of UTF-16.
const OTHER_MARKS: [(&[u8], &str); 4] = [
    (b"\xff\xfe\0\0", "UTF-32LE"),
    (b"\0\0\xfe\xff", "UTF-32BE"),
    (b"\xff\xfe", "UTF-16LE"),
    (b"\xfe\xff", "UTF-16BE"),
];

/// The most memory that is reserved before a file is read.
const MAX_CAPACITY_BYTES: usize = 1024 * 1024;

/// Why content is not text. Never contains the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// The text has this encoding.
    #[error("the encoding is {0}: expected UTF-8 (convert it: iconv -f {0} -t UTF-8)")]
    OtherEncoding(&'static str),
    /// The byte at this offset is not part of UTF-8.
    #[error("the encoding is unknown: expected UTF-8, but byte {0} is not")]
    NotUtf8(usize),
}

/// Why a text file was not read.
#[derive(Debug, thiserror::Error)]
pub enum TextFileError {
    /// The file could not be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The content is not text.
    #[error(transparent)]
    NotText(#[from] NotText),
}

/// Opens a file, for this module's functions.
///
/// # Errors
/// Returns the error of the system.
pub fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Reads ASCII between bytes that do not count, such as PEM with comments in any encoding, and returns it without a
/// byte-order mark.
///
/// # Errors
/// Returns [`TextFileError`] if the file is unreadable, UTF-16 or UTF-32.
pub fn read_bytes(file: &mut File) -> Result<Zeroizing<Vec<u8>>, TextFileError> {
    let capacity_bytes = size(file)?;
    let content = read_to_end(file, capacity_bytes)?;
    Ok(Zeroizing::new(without_mark(&content)?.to_vec()))
}

/// Reads UTF-8, and returns it without a byte-order mark.
///
/// # Errors
/// Returns [`TextFileError`] if the file is unreadable or its content is not UTF-8.
pub fn read_text(file: &mut File) -> Result<Zeroizing<String>, TextFileError> {
    let capacity_bytes = size(file)?;
    read_text_of(file, capacity_bytes)
}

/// Reads UTF-8 from a source of about this size, and returns it without a byte-order mark.
///
/// # Errors
/// Returns [`TextFileError`] if the source is unreadable or its content is not UTF-8.
pub fn read_text_of(source: impl Read, capacity_bytes: usize) -> Result<Zeroizing<String>, TextFileError> {
    let content = read_to_end(source, capacity_bytes)?;
    let text = without_mark(&content)?;
    let text = str::from_utf8(text).map_err(|error| {
        let mark_bytes = content.len() - text.len();
        NotText::NotUtf8(mark_bytes + error.valid_up_to())
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Reads everything into memory that is wiped after use. A longer content than expected leaves copies behind, because the
/// buffer grows.
fn read_to_end(mut source: impl Read, capacity_bytes: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    // One byte more, so that the end is seen without growing.
    let mut content = Zeroizing::new(Vec::with_capacity(capacity_bytes.saturating_add(1)));
    source.read_to_end(&mut content)?;
    Ok(content)
}

/// Returns the size of the file in bytes, at most that of any file that people write.
fn size(file: &File) -> io::Result<usize> {
    let bytes = file.metadata()?.len();
    Ok(usize::try_from(bytes).map_or(MAX_CAPACITY_BYTES, |bytes| bytes.min(MAX_CAPACITY_BYTES)))
}

/// Returns the content without a byte-order mark.
///
/// # Errors
/// Returns [`NotText`] if the content begins as UTF-16 or UTF-32.
pub fn without_mark(content: &[u8]) -> Result<&[u8], NotText> {
    if let Some((_, encoding)) = OTHER_MARKS.iter().find(|(mark, _)| content.starts_with(mark)) {
        return Err(NotText::OtherEncoding(encoding));
    }
    match *content {
        // An ASCII character in UTF-16 has one zero byte, and text has none.
        [first, 0, ..] if first != 0 => Err(NotText::OtherEncoding("UTF-16LE")),
        [0, second, ..] if second != 0 => Err(NotText::OtherEncoding("UTF-16BE")),
        _ => Ok(content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(content: &[u8]) -> Result<String, String> {
        read_text_of(content, content.len()).map(|text| text.to_string()).map_err(|error| error.to_string())
    }

    /// Encodes a text in UTF-16.
    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn one_leading_byte_order_mark_is_removed() {
        for (content, expected) in
            [("\u{feff}text", "text"), ("\u{feff}", ""), ("\u{feff}\u{feff}a", "\u{feff}a"), ("a\u{feff}", "a\u{feff}")]
        {
            assert_eq!(read(content.as_bytes()).as_deref(), Ok(expected), "{content:?}");
        }
    }

    #[test]
    fn utf_16_is_rejected_with_the_command_that_converts_it() {
        for text in ["\u{feff}postgres://localhost/x\n", "postgres://localhost/x\n", "\u{feff}ж"] {
            for (content, encoding) in
                [(utf16(text, u16::to_le_bytes), "UTF-16LE"), (utf16(text, u16::to_be_bytes), "UTF-16BE")]
            {
                let error = read(&content).expect_err("UTF-16");
                assert!(error.contains(&format!("the encoding is {encoding}: expected UTF-8")), "{error}");
                assert!(error.contains(&format!("iconv -f {encoding} -t UTF-8")), "{error}");
            }
        }
        assert!(read(b"\xff\xfe\0\0a\0\0\0").is_err_and(|error| error.contains("UTF-32LE")));
        assert!(read(b"\0\0\xfe\xff\0\0\0a").is_err_and(|error| error.contains("UTF-32BE")));
    }

    #[test]
    fn other_encodings_are_rejected_with_the_first_invalid_byte() {
        for (content, byte) in [(b"caf\xe9 au lait".as_slice(), 3), (b"\xef\xbb\xbfcaf\xe9", 6)] {
            let error = read(content).expect_err("Latin-1");
            assert!(error.ends_with(&format!("expected UTF-8, but byte {byte} is not")), "{error}");
        }
    }

    #[test]
    fn bytes_beside_ascii_may_have_any_encoding() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("file");
        let read = |content: &[u8]| {
            fs::write(&path, content).expect("a file");
            read_bytes(&mut open(&path).expect("the file"))
        };

        assert_eq!(*read(b"\xef\xbb\xbfcaf\xe9").expect("bytes"), b"caf\xe9");
        assert!(matches!(read(b"-\0-\0"), Err(TextFileError::NotText(NotText::OtherEncoding("UTF-16LE")))));
    }
}
