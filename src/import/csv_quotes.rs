//! Quotation marks in CSV: a mark without a partner makes one cell of all rows up to the next mark, which the reader of CSV does not
//! report.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, Read},
    rc::Rc,
};

/// The maximum size of a record in bytes: without it, a quotation mark without a partner would read the rest of the file into
/// memory.
const MAX_RECORD_BYTES: u64 = 16 << 20;

/// A file whose quotation marks are followed while it is read.
pub(super) struct QuoteReader<R> {
    input: R,
    shared: Rc<RefCell<Quotes>>,
}

/// The state of the quotation marks. The reader of CSV is ahead of the records that it returns.
#[derive(Debug)]
pub(super) struct Quotes {
    delimiter: u8,
    position: Position,
    /// How many bytes were read.
    offset: u64,
    /// How many bytes the present record may still take.
    left: u64,
    /// Where text follows a closing quotation mark.
    faults: VecDeque<u64>,
    is_at_end: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    CellStart,
    Unquoted,
    Quoted,
    /// After a quotation mark in a quoted cell: it ends the cell, or is the first of two.
    AfterQuote,
}

impl Quotes {
    fn take(&mut self, byte: u8) {
        use Position::{AfterQuote, CellStart, Quoted, Unquoted};
        let is_boundary = byte == self.delimiter || byte == b'\n' || byte == b'\r';
        self.position = match (self.position, byte) {
            (Quoted, b'"') => AfterQuote,
            (Quoted, _) | (CellStart | AfterQuote, b'"') => Quoted,
            (_, _) if is_boundary => CellStart,
            (AfterQuote, _) => {
                self.faults.push_back(self.offset);
                Unquoted
            }
            (CellStart | Unquoted, _) => Unquoted,
        };
        self.offset += 1;
    }

    /// Starts a record.
    pub(super) fn start_record(&mut self) {
        self.left = MAX_RECORD_BYTES;
    }

    /// Returns whether text follows a closing quotation mark in the record that ends at this offset.
    pub(super) fn is_faulty(&mut self, end_offset: u64) -> bool {
        let count = self.faults.partition_point(|fault| *fault < end_offset);
        self.faults.drain(..count).count() > 0
    }

    /// Returns whether the file was read to its end. Then the present record has no line end.
    pub(super) fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// Returns whether the bytes that were read end between quotation marks.
    pub(super) fn is_quoted(&self) -> bool {
        self.position == Position::Quoted
    }
}

impl<R: Read> QuoteReader<R> {
    /// Returns the reader and the state of its quotation marks.
    pub(super) fn new(input: R, delimiter: u8) -> (Self, Rc<RefCell<Quotes>>) {
        let quotes = Quotes {
            delimiter,
            position: Position::CellStart,
            offset: 0,
            left: MAX_RECORD_BYTES,
            faults: VecDeque::new(),
            is_at_end: false,
        };
        let shared = Rc::new(RefCell::new(quotes));
        (Self { input, shared: Rc::clone(&shared) }, shared)
    }
}

impl<R: Read> Read for QuoteReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let mut quotes = self.shared.borrow_mut();
        for byte in &buffer[..count] {
            quotes.take(*byte);
        }
        quotes.is_at_end = count == 0;
        let left = quotes.left.checked_sub(count as u64);
        let message = || io::Error::other("a record of over 16 MiB: expected a closing quotation mark");
        quotes.left = left.ok_or_else(message)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of faults, and whether the text ends between quotation marks.
    fn read(text: &str) -> (usize, bool) {
        let (mut reader, quotes) = QuoteReader::new(text.as_bytes(), b',');
        io::copy(&mut reader, &mut io::sink()).expect("a text");
        let quotes = quotes.borrow();
        assert!(quotes.is_at_end());
        (quotes.faults.len(), quotes.is_quoted())
    }

    #[test]
    fn quotation_marks_with_partners_are_no_faults() {
        for text in ["\"a\",\"b\"\"c\",\"\"\r\n", "a,b\"c\"\n", "a,\"b\"", "", "\"a\nb, c\",d\n"] {
            assert_eq!(read(text), (0, false), "{text}");
        }
    }

    #[test]
    fn quotation_marks_without_partners_are_found() {
        assert_eq!(read("a,\"b\nc,d\n"), (0, true));
        assert_eq!(read("a,\"b\nc,\"d\"\n"), (1, false));
        assert_eq!(read("a,\"b\n\"\",c\n"), (0, true));
    }
}
