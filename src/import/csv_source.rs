//! Users in a CSV file.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::HashMap,
    fs,
    io::BufReader,
    path::{Path, PathBuf},
    rc::Rc,
};

use csv::{ByteRecord, Reader, ReaderBuilder};
use tokio::sync::mpsc;

use super::{
    columns::{ColumnOptions, Columns},
    csv_quotes::{QuoteReader, Quotes},
    error::ImportError,
    rows::{Batch, Batches, BrokenRow, SourceUser, open_file},
};
use crate::logging::print_lines;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The longest name of a column in bytes (PostgreSQL documentation, section 4.1.1).
const MAX_COLUMN_BYTES: usize = 63;

/// A CSV file with a header, whose columns are known.
pub(super) struct CsvSource {
    file: CsvFile,
    columns: Columns,
}

struct CsvFile {
    path: PathBuf,
    delimiter: u8,
}

/// The records of a file.
struct Records {
    reader: Reader<QuoteReader<BufReader<fs::File>>>,
    quotes: Rc<RefCell<Quotes>>,
    header: Vec<String>,
}

impl CsvFile {
    /// Opens the file, and reads the header.
    fn records(&self) -> Result<Records, ImportError> {
        let (reader, quotes) = QuoteReader::new(open_file(&self.path)?, self.delimiter);
        let mut options = ReaderBuilder::new();
        let reader = options.delimiter(self.delimiter).flexible(true).has_headers(false).from_reader(reader);
        let mut records = Records { reader, quotes, header: Vec::new() };
        let mut header = ByteRecord::new();
        self.read(&mut records, &mut header)?;
        let name = |(position, cell): (usize, &[u8])| {
            let cell = if position == 0 { cell.strip_prefix(BYTE_ORDER_MARK).unwrap_or(cell) } else { cell };
            // The mark keeps the reader from seeing the quotation marks.
            String::from_utf8_lossy(cell).trim().trim_matches('"').to_owned()
        };
        records.quotes.borrow_mut().is_faulty(records.reader.position().byte());
        records.header = header.iter().enumerate().map(name).collect();
        Ok(records)
    }

    /// Reads a record. Returns whether there is one.
    fn read(&self, records: &mut Records, record: &mut ByteRecord) -> Result<bool, ImportError> {
        records.quotes.borrow_mut().start_record();
        records.reader.read_byte_record(record).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(source) => ImportError::File { path: self.path.clone(), source },
            kind => self.invalid(format!("invalid CSV: {kind:?}")),
        })
    }

    /// Returns an error if the file ends in this record. A cut in the last cell is not seen.
    fn check_end(&self, row: u64, records: &Records, record: &ByteRecord) -> Result<(), ImportError> {
        let quotes = records.quotes.borrow();
        if !quotes.is_at_end() {
            return Ok(());
        }
        let expected = records.header.len();
        if quotes.is_quoted() {
            let reason = format!("the file ends early: expected a closing quotation mark in row {row} or before it");
            return Err(self.invalid(reason));
        }
        if record.len() < expected {
            let reason = format!("the file ends early: expected {expected} fields in row {row}, which is the last one");
            return Err(self.invalid(reason));
        }
        print_lines("postern: the last row has no line end: if the file was cut, its last cell is incomplete");
        Ok(())
    }

    fn invalid(&self, reason: String) -> ImportError {
        ImportError::Content { path: self.path.clone(), reason }
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
            let names = candidate.records()?.header;
            if file.is_none() || names.len() > header.len() {
                (header, file) = (names, Some(candidate));
            }
        }
        let file = file.unwrap_or_else(|| unreachable!("there are delimiters"));
        check_header(&file, &header)?;
        let columns = Columns::find(&header, None, options)?;
        for column in columns.all() {
            if header.iter().filter(|name| *name == column).count() > 1 {
                return Err(file.invalid(format!("several columns `{column}`: expected one")));
            }
        }
        columns.print_note();
        Ok(Self { file, columns })
    }

    /// Reads all rows.
    pub(super) fn send(&self, channel: &mpsc::Sender<Batch>) {
        let mut batches = Batches::new(channel);
        let outcome = self.read_all(&mut batches);
        batches.finish(outcome);
    }

    fn read_all(&self, batches: &mut Batches<'_>) -> Result<(), ImportError> {
        let mut records = self.file.records()?;
        let positions: HashMap<_, _> =
            records.header.iter().enumerate().map(|(position, name)| (name.clone(), position)).collect();
        let mut record = ByteRecord::new();
        for row in 1.. {
            if !self.file.read(&mut records, &mut record)? {
                break;
            }
            self.file.check_end(row, &records, &record)?;
            let value = |column: &str| {
                let cell = positions.get(column).and_then(|position| record.get(*position));
                Ok(cell.filter(|cell| !cell.is_empty()).map(Cow::Borrowed))
            };
            let is_faulty = records.quotes.borrow_mut().is_faulty(records.reader.position().byte());
            let has_line_break = record.as_slice().contains(&b'\n');
            if is_faulty && has_line_break {
                let reason = format!("a quotation mark without a partner in row {row}, which takes several lines");
                return Err(self.file.invalid(reason));
            }
            let fault = if is_faulty {
                Some("text after a closing quotation mark: expected the end of the cell".to_owned())
            } else if record.len() != records.header.len() {
                Some(format!("{} fields: expected {}, as in the header", record.len(), records.header.len()))
            } else if has_line_break
                && self.contains_row(|column| {
                    positions.get(column).and_then(|position| record.get(*position)).unwrap_or_default()
                })
            {
                Some(
                    "a line break in a cell: expected a quotation mark with a partner; the next row may be lost"
                        .to_owned(),
                )
            } else {
                None
            };
            let user = match fault {
                // The cells may be those of other columns, such as a hash in place of the email.
                Some(reason) => Err(BrokenRow { row, id: None, email: None, reason }),
                None => SourceUser::read(row, &self.columns, value),
            };
            if !batches.add(user) {
                break;
            }
        }
        Ok(())
    }
    /// Returns whether a cell looks like the rest of a row and the start of the next one. A line break in a name alone is none.
    fn contains_row<'record>(&self, cell: impl Fn(&str) -> &'record [u8]) -> bool {
        let Columns { id, email, password, .. } = &self.columns;
        self.columns.all().into_iter().any(|column| {
            let cell = cell(column);
            let is_short = [id, email, password].into_iter().any(|short| short == column);
            cell.contains(&b'\n') && (is_short || cell.contains(&self.file.delimiter))
        })
    }
}

/// Returns an error if the header is a row of users. It repeats no cell: there may be hashes.
fn check_header(file: &CsvFile, header: &[String]) -> Result<(), ImportError> {
    let is_value =
        |cell: &String| cell.len() > MAX_COLUMN_BYTES || cell.starts_with('!') || cell.contains(['@', '$', '\n']);
    if header.iter().any(is_value) {
        let reason = "the first line has no names of columns: expected a header, as `\\copy … csv header` writes it";
        return Err(file.invalid(reason.to_owned()));
    }
    Ok(())
}
