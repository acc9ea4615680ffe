//! Chunked bodies (RFC 9112, section 7.1), read as strictly as heads: what is passed on has one reading.

/// The most bytes of a body's chunk extensions and trailers together: both are allowed, and nobody here reads them.
const MAX_EXTRA_BYTES: usize = 4 * 1024;

/// The most digits of a chunk's size: more than any body that is taken needs.
const MAX_SIZE_DIGITS: u8 = 8;

/// How far a chunked body has been read.
#[derive(Debug)]
pub struct Chunks {
    part: Part,
    extra_bytes: usize,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Size { size: u64, digits: u8 },
    Extension { size: u64 },
    SizeLineFeed { size: u64 },
    Data { left: u64 },
    DataReturn,
    DataLineFeed,
    TrailerStart,
    Trailer,
    TrailerLineFeed,
    LastLineFeed,
    End,
}

/// Something that is no chunk, or too much beside the data.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not chunked as it should be")]
pub struct BadChunk;

impl Chunks {
    /// A body that has not begun.
    pub fn new() -> Self {
        Self { part: Part::Size { size: 0, digits: 0 }, extra_bytes: 0 }
    }

    /// How many of these bytes belong to the body.
    ///
    /// # Errors
    /// Where they are no chunks.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        let mut taken = 0;
        while taken < bytes.len() && self.part != Part::End {
            let rest = &bytes[taken..];
            taken += match self.part {
                Part::Data { left } => self.skip(left, rest.len()),
                _ => self.step(rest[0])?,
            };
        }
        Ok(taken)
    }

    /// Whether the body has been read to its end.
    pub fn has_ended(&self) -> bool {
        self.part == Part::End
    }

    fn skip(&mut self, left: u64, available: usize) -> usize {
        let skipped = usize::try_from(left).map_or(available, |left| left.min(available));
        let left = left - u64::try_from(skipped).unwrap_or(left);
        self.part = if left == 0 { Part::DataReturn } else { Part::Data { left } };
        skipped
    }

    fn step(&mut self, byte: u8) -> Result<usize, BadChunk> {
        self.part = match (self.part, byte) {
            (Part::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < MAX_SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Part::Size { size: size * 16 + u64::from(digit), digits: digits + 1 }
            }
            (Part::Size { size, digits: 1.. } | Part::Extension { size }, b'\r') => Part::SizeLineFeed { size },
            (Part::Size { size, digits: 1.. }, b';') => Part::Extension { size },
            (Part::Extension { size }, _) if is_text(byte) => self.beside(Part::Extension { size })?,
            (Part::SizeLineFeed { size: 0 } | Part::TrailerLineFeed, b'\n') => Part::TrailerStart,
            (Part::SizeLineFeed { size }, b'\n') => Part::Data { left: size },
            (Part::DataReturn, b'\r') => Part::DataLineFeed,
            (Part::DataLineFeed, b'\n') => Part::Size { size: 0, digits: 0 },
            (Part::TrailerStart, b'\r') => Part::LastLineFeed,
            (Part::TrailerStart | Part::Trailer, _) if is_text(byte) => self.beside(Part::Trailer)?,
            (Part::Trailer, b'\r') => Part::TrailerLineFeed,
            (Part::LastLineFeed, b'\n') => Part::End,
            _ => return Err(BadChunk),
        };
        Ok(1)
    }

    fn beside(&mut self, part: Part) -> Result<Part, BadChunk> {
        self.extra_bytes += 1;
        if self.extra_bytes > MAX_EXTRA_BYTES { Err(BadChunk) } else { Ok(part) }
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many bytes are taken, and whether the body has ended with them.
    fn take(bytes: &[u8]) -> Result<(usize, bool), BadChunk> {
        let mut chunks = Chunks::new();
        let taken = chunks.take(bytes)?;
        Ok((taken, chunks.has_ended()))
    }

    #[test]
    fn a_body_ends_with_its_last_chunk_and_what_follows_is_not_its_own() {
        for body in [
            &b"0\r\n\r\n"[..],
            b"1\r\n\r\r\n0\r\n\r\n",
            b"000a\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
            b"A;x=\"y\" ; z\r\n0123456789\r\n0;last\r\nTrailer: x\r\nOther:\r\n\r\n",
        ] {
            let followed = [body, b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(take(&followed), Ok((body.len(), true)), "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn what_readers_differ_about_is_refused() {
        for body in [
            &b"\r\n"[..],
            b";x\r\n",
            b" 1\r\n",
            b"1 \r\n",
            b"+1\r\n",
            b"0x1\r\n",
            b"g\r\n",
            b"1\n",
            b"1;x\n",
            b"1;\0\r\n",
            b"1\r\nxy",
            b"1\r\nx\n",
            b"1\r\nx\rx",
            b"0\r\n\n",
            b"0\r\nx: y\n",
            b"000000001\r\n",
            b"fffffffff\r\n",
        ] {
            assert_eq!(take(body), Err(BadChunk), "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn what_stands_beside_the_data_is_limited() {
        let with = |bytes: usize| take(format!("0;{}\r\nx: y\r\n\r\n", "x".repeat(bytes - 4)).as_bytes());

        assert!(with(MAX_EXTRA_BYTES).is_ok());
        assert_eq!(with(MAX_EXTRA_BYTES + 1), Err(BadChunk));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_a_body_is_cut(cut in 0_usize..44) {
            let body = b"A;x=y\r\n0123456789\r\n1\r\nx\r\n0\r\nTrailer: x\r\n\r\n";
            let (first, second) = body.split_at(cut.min(body.len()));

            let mut chunks = Chunks::new();
            prop_assert_eq!(chunks.take(first), Ok(first.len()));
            prop_assert_eq!(chunks.take(second), Ok(second.len()));

            prop_assert!(chunks.has_ended());
        }
    }
}
