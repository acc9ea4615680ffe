//! Makes one line of each event.

use std::io;

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use crate::model::{ControlEscape, escape_control};

/// A writer that escapes control characters, so that each event is one line. An error may contain text of a store or a
/// client, and the formats do not escape all of it: text leaves line feeds, JSON leaves U+009B.
pub(super) struct OneLine<W>(pub W);

impl<'writer, W: MakeWriter<'writer>> MakeWriter<'writer> for OneLine<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'writer self) -> Self::Writer {
        OneLine(self.0.make_writer())
    }

    fn make_writer_for(&'writer self, event: &Metadata<'_>) -> Self::Writer {
        OneLine(self.0.make_writer_for(event))
    }
}

impl<W: io::Write> io::Write for OneLine<W> {
    /// Writes an event as one line with its line feed. `tracing_subscriber` passes each event in one call.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if is_plain_line(event) {
            self.0.write_all(event)?;
            return Ok(event.len());
        }
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = escape_control(line, ControlEscape::Json);
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Returns whether this is a line of printable ASCII, as nearly every event is, which needs neither a check of its UTF-8 nor
/// a copy.
fn is_plain_line(event: &[u8]) -> bool {
    // Not with `all`, which ends at the first mismatch and so cannot compare several bytes at once.
    let is_plain = |text: &[u8]| text.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    event.strip_suffix(b"\n").is_some_and(is_plain)
}
