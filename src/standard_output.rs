//! Standard output: the output of commands.

use std::io::{self, IsTerminal as _, Write as _};

use postern::cli::OutputReader;

/// Writes bytes, and waits for their reader: a command has nothing else to do, and a signal ends it. A closed pipe is no error.
pub fn write(bytes: &[u8]) -> io::Result<OutputReader> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => Ok(OutputReader::Open),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(OutputReader::Gone),
        Err(error) => Err(error),
    }
}

/// Returns whether a terminal shows the output.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}
