//! The rows of a source: what all kinds of sources have in common.

use std::{borrow::Cow, fs, io::BufReader, path::Path};

use tokio::sync::mpsc;

use super::{columns::Columns, error::ImportError};
use crate::os::text_files;

/// How many rows are handed over at once.
pub(super) const ROWS: usize = 2000;

/// The longest cell in bytes, so that a batch takes at most some 40 MB: no id, email, hash or name that is imported is longer.
const MAX_CELL_BYTES: usize = 2048;

/// Some rows, or the error that ends them. The last batch has fewer than [`ROWS`].
pub(super) type Batch = Result<Vec<SourceRow>, ImportError>;

/// A row, or why it cannot be read.
pub(super) type SourceRow = Result<SourceUser, BrokenRow>;

/// A row of a table of users, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SourceUser {
    /// The position in the source, from 1.
    pub(super) row: u64,
    pub(super) id: Option<String>,
    pub(super) email: Option<String>,
    pub(super) password: Option<String>,
    /// The parts of the name.
    pub(super) names: Vec<String>,
    pub(super) username: Option<String>,
    pub(super) joined: Joined,
    pub(super) active: Option<String>,
    pub(super) staff: Option<String>,
    pub(super) superuser: Option<String>,
    pub(super) verified: Option<String>,
    /// Whether a table of addresses has the email as verified.
    pub(super) is_address_verified: bool,
}

/// The time of the sign-up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Joined {
    /// The source has no column for it.
    #[default]
    NoColumn,
    /// The text of the column; empty for NULL.
    Text(String),
}

/// A row that cannot be read, or that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BrokenRow {
    pub(super) row: u64,
    pub(super) id: Option<String>,
    pub(super) email: Option<String>,
    pub(super) reason: String,
}

/// The value of a column as bytes; an error if it is no text.
pub(super) type Value<'row> = Result<Option<Cow<'row, [u8]>>, NoText>;

/// A list or an object in place of a text.
pub(super) struct NoText;

/// Opens a file for reading. Files are read more than once, which a pipe cannot be.
pub(super) fn open_file(path: &Path) -> Result<BufReader<fs::File>, ImportError> {
    let metadata = fs::metadata(path).map_err(|source| ImportError::File { path: path.to_owned(), source })?;
    if !metadata.is_file() {
        let reason = "a pipe, a directory or a device: expected a regular file, which can be read twice".to_owned();
        return Err(ImportError::Content { path: path.to_owned(), reason });
    }
    let file = text_files::open(path).map_err(|source| ImportError::File { path: path.to_owned(), source })?;
    Ok(BufReader::with_capacity(256 * 1024, file))
}

impl SourceUser {
    /// Reads a row by the values of its columns.
    pub(super) fn read<'row>(row: u64, columns: &Columns, value: impl Fn(&str) -> Value<'row>) -> SourceRow {
        let text = |column: &str| match value(column) {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) if bytes.len() > MAX_CELL_BYTES => {
                Err(format!("invalid `{column}`: expected at most {MAX_CELL_BYTES} bytes"))
            }
            Ok(Some(bytes)) => match String::from_utf8(bytes.into_owned()) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(format!("invalid `{column}`: expected UTF-8")),
            },
            Err(NoText) => Err(format!("invalid `{column}`: expected a text, not a list or an object")),
        };
        let optional = |column: &Option<String>| column.as_deref().map_or(Ok(None), text);
        // A name that is cut here is cut shorter when it becomes that of a user.
        let name = |column: &String| {
            let name = value(column).ok().flatten()?;
            Some(String::from_utf8_lossy(&name[..name.len().min(MAX_CELL_BYTES)]).into_owned())
        };
        let read = || {
            Ok(Self {
                row,
                id: text(&columns.id)?,
                email: text(&columns.email)?,
                password: text(&columns.password)?,
                names: columns.names.iter().filter_map(name).collect(),
                username: optional(&columns.username)?,
                joined: match &columns.joined {
                    Some(column) => Joined::Text(text(column)?.unwrap_or_default()),
                    None => Joined::NoColumn,
                },
                active: if columns.active.is_none() { Some("true".to_owned()) } else { optional(&columns.active)? },
                staff: optional(&columns.staff)?,
                superuser: optional(&columns.superuser)?,
                verified: optional(&columns.verified)?,
                is_address_verified: false,
            })
        };
        read().map_err(|reason| {
            let (id, email) = (text(&columns.id).ok().flatten(), text(&columns.email).ok().flatten());
            BrokenRow { row, id, email, reason }
        })
    }
}

/// Collects rows, and hands over [`ROWS`] of them at once.
pub(super) struct Batches<'channel> {
    channel: &'channel mpsc::Sender<Batch>,
    rows: Vec<SourceRow>,
}

impl<'channel> Batches<'channel> {
    pub(super) fn new(channel: &'channel mpsc::Sender<Batch>) -> Self {
        Self { channel, rows: Vec::with_capacity(ROWS) }
    }

    /// Adds a row. Returns whether somebody still reads them.
    pub(super) fn add(&mut self, row: SourceRow) -> bool {
        self.rows.push(row);
        self.rows.len() < ROWS || self.flush()
    }

    /// Hands over the last rows, after the error that ends them, if any.
    pub(super) fn finish(mut self, outcome: Result<(), ImportError>) {
        let _ = match outcome {
            Ok(()) => self.flush(),
            Err(error) => self.channel.blocking_send(Err(error)).is_ok(),
        };
    }

    fn flush(&mut self) -> bool {
        self.channel.blocking_send(Ok(std::mem::take(&mut self.rows))).is_ok()
    }
}
