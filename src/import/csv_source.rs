//! Users in a CSV file.

use std::{
    borrow::Cow,
    cell::Cell,
    collections::HashMap,
    fs,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    rc::Rc,
};

use csv::{ByteRecord, Reader, ReaderBuilder};
use tokio::sync::mpsc;

use super::{
    columns::{ColumnOptions, Columns},
    error::ImportError,
    rows::{Batch, Batches, BrokenRow, SourceUser, open_file},
};

/// The maximum size of a record in bytes: without it, a quotation mark without a partner would read the rest of the file into
/// memory.
const MAX_RECORD_BYTES: u64 = 16 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A CSV file with a header, whose columns are known.
pub(super) struct CsvSource {
    file: CsvFile,
    columns: Columns,
}

struct CsvFile {
    path: PathBuf,
    delimiter: u8,
}

impl CsvFile {
    /// Opens the file, and reads the header.
    fn reader(&self) -> Result<(Reader<Limited>, Vec<String>), ImportError> {
        let limited = Limited { file: open_file(&self.path)?, left: Rc::new(Cell::new(MAX_RECORD_BYTES)) };
        let mut options = ReaderBuilder::new();
        let mut reader = options.delimiter(self.delimiter).flexible(true).has_headers(false).from_reader(limited);
        let mut header = ByteRecord::new();
        self.read(&mut reader, &mut header)?;
        let name = |(position, cell): (usize, &[u8])| {
            let cell = if position == 0 { cell.strip_prefix(BYTE_ORDER_MARK).unwrap_or(cell) } else { cell };
            // The mark keeps the reader from seeing the quotation marks.
            String::from_utf8_lossy(cell).trim().trim_matches('"').to_owned()
        };
        let header = header.iter().enumerate().map(name).collect();
        Ok((reader, header))
    }

    /// Reads a record. Returns whether there is one.
    fn read(&self, reader: &mut Reader<Limited>, record: &mut ByteRecord) -> Result<bool, ImportError> {
        reader.get_ref().left.set(MAX_RECORD_BYTES);
        reader.read_byte_record(record).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(source) => ImportError::File { path: self.path.clone(), source },
            kind => ImportError::Content { path: self.path.clone(), reason: format!("invalid CSV: {kind:?}") },
        })
    }
}

impl CsvSource {
    pub(super) fn open(path: &Path, options: &ColumnOptions) -> Result<Self, ImportError> {
        if options.table.is_some() {
            return Err(ImportError::Layout("invalid --table: a CSV file has one table only".to_owned()));
        }
        // The delimiter that splits the header into the most columns.
        let (mut header, mut file) = (Vec::new(), None);
        for delimiter in [b',', b';', b'\t'] {
            let candidate = CsvFile { path: path.to_owned(), delimiter };
            let (_, names) = candidate.reader()?;
            if file.is_none() || names.len() > header.len() {
                (header, file) = (names, Some(candidate));
            }
        }
        let file = file.unwrap_or_else(|| unreachable!("there are delimiters"));
        let columns = Columns::find(&header, None, options)?;
        Ok(Self { file, columns })
    }

    /// Reads all rows.
    pub(super) fn send(&self, channel: &mpsc::Sender<Batch>) {
        let mut batches = Batches::new(channel);
        let outcome = self.read_all(&mut batches);
        batches.finish(outcome);
    }

    fn read_all(&self, batches: &mut Batches<'_>) -> Result<(), ImportError> {
        let (mut reader, header) = self.file.reader()?;
        let mut positions = HashMap::new();
        for (position, name) in header.iter().enumerate() {
            positions.entry(name.as_str()).or_insert(position);
        }
        let mut record = ByteRecord::new();
        for row in 1.. {
            if !self.file.read(&mut reader, &mut record)? {
                break;
            }
            let value = |column: &str| {
                let cell = positions.get(column).and_then(|position| record.get(*position));
                Ok(cell.filter(|cell| !cell.is_empty()).map(Cow::Borrowed))
            };
            let user = SourceUser::read(row, &self.columns, value).and_then(|user| {
                if record.len() == header.len() {
                    return Ok(user);
                }
                let reason = format!("{} fields: expected {}, as in the header", record.len(), header.len());
                Err(BrokenRow { row, id: user.id, email: user.email, reason })
            });
            if !batches.add(user) {
                break;
            }
        }
        Ok(())
    }
}

/// A file of which only so many bytes are read until the limit is set again.
struct Limited {
    file: BufReader<fs::File>,
    left: Rc<Cell<u64>>,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        let left = self.left.get().checked_sub(count as u64);
        let message = || io::Error::other("a record of over 16 MiB: expected a closing quotation mark");
        self.left.set(left.ok_or_else(message)?);
        Ok(count)
    }
}
