//! Watches the frames of an HTTP/2 connection for what its memory depends on: the header table, and incomplete header blocks.

use std::mem;

/// The first bytes of HTTP/2 (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame's header (RFC 9113, section 4.1).
const HEADER_BYTES: usize = 9;

const HEADERS: u8 = 1;
/// No client may send this, but h2 reports the error only after the whole header block.
const PUSH_PROMISE: u8 = 5;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;

/// A flag of SETTINGS.
const ACK: u8 = 1;

/// A flag of HEADERS and CONTINUATION: the header block ends with this frame.
const END_HEADERS: u8 = 4;

/// The flags of HEADERS that put other bytes before the header block: PADDED and PRIORITY.
const PREFIXED: u8 = 0x08 | 0x20;

/// Sets the size of the table to 0 (RFC 7541, section 6.3).
const EMPTY_TABLE: u8 = 0x20;

/// Watches the input of a connection for what h2 holds: its header table, and an incomplete header block. The SETTINGS of the
/// server announce a header table of size 0.
///
/// h2 goes on adding to the table until the client sets its size, as a client must at the beginning of the first header block
/// after its acknowledgement (RFC 7541, section 4.2). From there, h2 accepts no larger size.
///
/// h2 decodes a header block frame by frame, and holds the fields until the block is complete.
#[derive(Debug)]
pub struct FrameWatch {
    /// The bytes to skip until the next frame.
    skip: usize,
    /// The beginning of the frame: its header and, of HEADERS, the first byte of the payload.
    begun: Vec<u8>,
    has_settings: bool,
    is_table_empty: bool,
    block: HeaderBlock,
    /// The header blocks whose last frame has begun since [`Self::take_heads`].
    heads: u32,
}

/// The header block of the latest frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeaderBlock {
    /// The frame has none, or all of one.
    None,
    /// More frames of the block follow.
    Continues,
    /// The frame is the last one of a block of several.
    Ends,
}

impl FrameWatch {
    /// Creates a watch for the input from the preface on.
    pub fn new() -> Self {
        Self {
            skip: PREFACE.len(),
            begun: Vec::with_capacity(HEADER_BYTES + 1),
            has_settings: false,
            is_table_empty: false,
            block: HeaderBlock::None,
            heads: 0,
        }
    }

    /// Records input.
    pub fn bytes_arrived(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            let missing = self.begun_bytes() - self.begun.len();
            let (begun, rest) = bytes[skipped..].split_at(missing.min(bytes.len() - skipped));
            self.begun.extend_from_slice(begun);
            bytes = rest;
            if self.begun.len() == self.begun_bytes() {
                self.frame_begun();
            }
        }
    }

    /// Returns whether the table is empty from now on.
    pub fn is_table_empty(&self) -> bool {
        self.is_table_empty
    }

    /// Returns whether h2 holds the fields of an incomplete header block, at least one frame of which has arrived.
    pub fn has_incomplete_block(&self) -> bool {
        match self.block {
            HeaderBlock::None => false,
            HeaderBlock::Continues => true,
            HeaderBlock::Ends => self.skip > 0,
        }
    }

    /// Returns how many header blocks have ended, or end with the current frame, since the last call.
    pub fn take_heads(&mut self) -> u32 {
        mem::take(&mut self.heads)
    }

    /// Returns how many bytes of the frame are looked at.
    fn begun_bytes(&self) -> usize {
        match self.begun[..] {
            [0, 0, 0, HEADERS, ..] => HEADER_BYTES,
            [_, _, _, HEADERS, ..] => HEADER_BYTES + 1,
            _ => HEADER_BYTES,
        }
    }

    fn frame_begun(&mut self) {
        if let [a, b, c, kind, flags, _, _, _, _, ref payload @ ..] = self.begun[..] {
            let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
            self.skip = length - payload.len();
            self.has_settings |= kind == SETTINGS && flags & ACK != 0;
            // With a prefix, the block may be empty, or ignored by h2. Such a client is only charged more.
            let has_block = kind == HEADERS && flags & PREFIXED == 0;
            self.is_table_empty |= self.has_settings && has_block && payload.first() == Some(&EMPTY_TABLE);
            self.block = match (kind, flags & END_HEADERS) {
                (HEADERS | PUSH_PROMISE | CONTINUATION, 0) => HeaderBlock::Continues,
                (CONTINUATION, _) => HeaderBlock::Ends,
                _ => HeaderBlock::None,
            };
            self.heads += u32::from(matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS != 0);
        }
        self.begun.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("a short payload");
        [&[0, 0, length, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// Returns the number of the frame from which the table is empty, if the input arrives in pieces of this size.
    fn emptied_by(frames: &[Vec<u8>], piece: usize) -> Option<usize> {
        let mut watch = FrameWatch::new();
        watch.bytes_arrived(PREFACE);
        assert!(!watch.is_table_empty());
        frames.iter().position(|frame| {
            frame.chunks(piece).for_each(|bytes| watch.bytes_arrived(bytes));
            watch.is_table_empty()
        })
    }

    #[test]
    fn table_is_empty_from_the_first_block_after_the_acknowledgement() {
        let frames = [
            frame(SETTINGS, 0, &[0, 1, 0, 0, 0, 0]),
            frame(HEADERS, 5, b"\x20\x82"),
            frame(SETTINGS, ACK, b""),
            frame(0, 0, &frame(HEADERS, 5, b"\x20\x82")),
            frame(HEADERS, 5, b""),
            frame(HEADERS, 5, b"\x20\x82"),
        ];

        for piece in [1, 2, 7, 9, 100] {
            assert_eq!(emptied_by(&frames, piece), Some(5), "in pieces of {piece} B");
        }
    }

    #[test]
    fn other_blocks_do_not_empty_the_table() {
        let acknowledged = frame(SETTINGS, ACK, b"");
        for block in [
            frame(HEADERS, 5, b"\x82\x20"),
            frame(HEADERS, 5, b"\x21"),
            frame(HEADERS, 5 | 0x08, b"\x20\x20"),
            frame(HEADERS, 5 | 0x20, b"\x20\0\0\0\0\x20"),
            frame(9, 4, b"\x20"),
        ] {
            assert_eq!(emptied_by(&[acknowledged.clone(), block.clone()], 100), None, "{block:x?}");
        }
    }

    #[test]
    fn block_is_incomplete_from_its_first_frame_to_the_end_of_its_last() {
        let mut watch = FrameWatch::new();
        let mut is_incomplete = |bytes: &[u8]| {
            watch.bytes_arrived(bytes);
            watch.has_incomplete_block()
        };
        let last = frame(CONTINUATION, END_HEADERS, b"\x82");

        assert!(!is_incomplete(PREFACE));
        assert!(!is_incomplete(&frame(HEADERS, END_HEADERS, b"\x82")));
        assert!(is_incomplete(&frame(HEADERS, 0, b"\x82")));
        assert!(is_incomplete(&frame(CONTINUATION, 0, b"")));
        assert!(is_incomplete(&last[..HEADER_BYTES]));
        assert!(!is_incomplete(&last[HEADER_BYTES..]));
        // Whole within one read.
        assert!(!is_incomplete(&[frame(HEADERS, 0, b"\x82"), last].concat()));
        assert!(!is_incomplete(&frame(0, 0, b"data")));
    }

    #[test]
    fn each_header_block_counts_once() {
        let mut watch = FrameWatch::new();
        watch.bytes_arrived(PREFACE);
        for bytes in [
            frame(HEADERS, END_HEADERS, b"\x82"),
            frame(0, 0, b"data"),
            frame(HEADERS, 0, b"\x82"),
            frame(CONTINUATION, 0, b"\x82"),
            frame(CONTINUATION, END_HEADERS, b"\x82"),
        ] {
            watch.bytes_arrived(&bytes);
        }

        assert_eq!([watch.take_heads(), watch.take_heads()], [2, 0]);
    }
}
