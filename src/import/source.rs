//! Sources of users.

use std::{
    io::BufRead as _,
    path::{Path, PathBuf},
};

use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    columns::ColumnOptions,
    csv_source, dump,
    error::ImportError,
    postgres_source,
    rows::{Batch, open_file},
};
use crate::{
    os::text_files::without_mark,
    store::{StoreTls, StoreTlsFiles, StoreUrl, postgres::PostgresUrl},
};

/// How many batches may wait for the store.
const WAITING: usize = 2;

/// A source of users.
#[derive(Debug)]
pub enum Source {
    /// A database of PostgreSQL.
    Postgres(Box<PostgresUrl>),
    /// The output of `dumpdata`, or a CSV file.
    File(PathBuf),
}

/// The rows of a source.
pub struct SourceRows {
    /// What kind of source it is.
    pub kind: &'static str,
    /// The number of rows, if it is known.
    pub total: Option<u64>,
    pub(super) rows: mpsc::Receiver<Batch>,
}

impl Source {
    /// Parses the argument `--from`: a URL of PostgreSQL or a path.
    ///
    /// # Errors
    /// Returns [`ImportError`], which never repeats the argument, if it is another URL or an invalid one.
    pub fn parse(from: &str) -> Result<Self, ImportError> {
        let from = from.trim();
        let scheme = from.split_once(':').map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        if from.contains("://") || ["postgres", "postgresql"].contains(&scheme.as_str()) {
            let is_postgres = ["postgres", "postgresql"].contains(&scheme.as_str());
            let url = if is_postgres {
                from.parse().map_err(ImportError::InvalidUrl)
            } else {
                Err(ImportError::UnknownSource)
            };
            return Ok(Self::Postgres(Box::new(url?)));
        }
        let may_have_password = from.contains('@') || from.to_ascii_lowercase().contains("password");
        if from.is_empty() || (may_have_password && !Path::new(from).exists()) {
            return Err(ImportError::UnknownSource);
        }
        Ok(Self::File(from.into()))
    }

    /// Reads the URL of PostgreSQL from a file that others cannot read.
    ///
    /// # Errors
    /// Returns [`ImportError`] if the file contains no URL.
    pub fn of_url_file(path: &Path) -> Result<Self, ImportError> {
        let url = PostgresUrl::read(path);
        let url = url.map_err(|error| ImportError::Content { path: path.to_owned(), reason: error.to_string() })?;
        Ok(Self::Postgres(Box::new(url)))
    }

    /// Returns the same database, whose certificate must be of one of the authorities in a file instead of those of the system.
    ///
    /// # Errors
    /// Returns [`ImportError`] if the file has no certificates, or if the source does not use TLS.
    pub fn trusting(self, authorities: Option<&Path>) -> Result<Self, ImportError> {
        let Some(path) = authorities else { return Ok(self) };
        let content = |reason: String| ImportError::Content { path: path.to_owned(), reason };
        match self {
            Self::Postgres(url) if url.is_encrypted() => {
                let tls = StoreTls::read(StoreTlsFiles { ca: Some(path.to_owned()), client: None });
                let tls = tls.map_err(|error| content(error.to_string()))?;
                Ok(Self::Postgres(Box::new(url.by(tls))))
            }
            _ => Err(content(format!(
                "set although the source does not switch TLS on: expected {}",
                PostgresUrl::SWITCHES_TLS_ON
            ))),
        }
    }

    /// Finds the table and its columns, and starts to read the rows.
    ///
    /// # Errors
    /// Returns [`ImportError`] if the source cannot be read, or if the table or a column is missing.
    pub async fn open(self, options: &ColumnOptions) -> Result<SourceRows, ImportError> {
        let (sender, rows) = mpsc::channel(WAITING);
        match self {
            Self::Postgres(url) => {
                let total = postgres_source::open(&url, options, sender).await?;
                Ok(SourceRows { kind: "PostgreSQL", total: Some(total), rows })
            }
            Self::File(path) => {
                let options = options.clone();
                let opening = spawn_blocking(move || FileRows::open(&path, &options));
                let (kind, total, file) = opening.await.map_err(|_| ImportError::Reader)??;
                spawn_blocking(move || file.send(&sender));
                Ok(SourceRows { kind, total, rows })
            }
        }
    }
}

enum FileRows {
    Dump(dump::Dump),
    Csv(csv_source::CsvSource),
}

impl FileRows {
    /// Opens a file, and returns its kind and the number of its rows with it.
    fn open(path: &Path, options: &ColumnOptions) -> Result<(&'static str, Option<u64>, Self), ImportError> {
        if is_dump(path)? {
            let dump = dump::Dump::open(path, options)?;
            return Ok(("a dump", Some(dump.users()), Self::Dump(dump)));
        }
        Ok(("a CSV file", None, Self::Csv(csv_source::CsvSource::open(path, options)?)))
    }

    fn send(&self, channel: &mpsc::Sender<Batch>) {
        match self {
            Self::Dump(dump) => dump.send(channel),
            Self::Csv(csv) => csv.send(channel),
        }
    }
}

/// Returns whether a file is the output of `dumpdata`: it begins like JSON.
fn is_dump(path: &Path) -> Result<bool, ImportError> {
    let mut file = open_file(path)?;
    let start = file.fill_buf().map_err(|source| ImportError::File { path: path.to_owned(), source })?;
    let content = |reason: &str| Err(ImportError::Content { path: path.to_owned(), reason: reason.to_owned() });
    if [b"\x1f\x8b".as_slice(), b"BZh", b"\xfd7zXZ", b"PK\x03\x04"].iter().any(|magic| start.starts_with(magic)) {
        return content("compressed: expected JSON or CSV (decompress it first)");
    }
    let text = match without_mark(start) {
        Ok(text) => text,
        Err(error) => return content(&error.to_string()),
    };
    if text.iter().take(64).any(|byte| *byte == 0) {
        return content("binary or not UTF-8: expected JSON of dumpdata, or CSV");
    }
    let is_dump = matches!(text.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'[' | b'{'));
    if !is_dump && has_array(text) {
        return content("text before the JSON array: expected the output of dumpdata alone (write it with --output)");
    }
    Ok(is_dump)
}

/// Returns whether an array of objects begins at the beginning of a line.
fn has_array(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| {
        let first = line.iter().filter(|byte| !byte.is_ascii_whitespace()).take(2).copied().collect::<Vec<_>>();
        first == b"[{" || line.trim_ascii() == b"["
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_is_a_url_of_postgres_or_a_path() {
        for url in ["postgres://db/django", " postgresql://ada:secret@db/django ", "POSTGRES://db/django"] {
            let parsed = Source::parse(url);
            assert!(matches!(parsed, Ok(Source::Postgres(_)) | Err(ImportError::InvalidUrl(_))), "{url}");
        }
        assert!(matches!(Source::parse("users.csv"), Ok(Source::File(_))));
    }

    #[test]
    fn mistyped_url_is_never_repeated() {
        for text in [
            "postgre://ada:secret@db/django",
            "mysql://ada:secret@db/django",
            "postgres:ada:secret@db",
            "postgres://ada:secret@",
            "postgres//ada:secret@db/django",
            "host=db user=ada password=secret",
        ] {
            let error = Source::parse(text).expect_err("no source").to_string();
            assert!(error.starts_with("expected ") && !error.contains("secret"), "{error}");
            assert!(!format!("{error:?}").contains("secret"));
        }
    }
}
