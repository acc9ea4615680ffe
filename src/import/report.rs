//! The report of an import: a line for each user that was refused or changed.

use std::{
    fs,
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

use super::{error::ImportError, rows::BrokenRow};
use crate::{
    model::{escape_invisible, neutralised_cell},
    os::private_files::create_private_anew,
};

/// The longest text of a field, in characters: the values of broken rows may have any length.
const MAX_CHARACTERS: usize = 320;

/// A CSV file that only its owner can read. Each line is written when its user is decided about.
pub struct Report {
    path: PathBuf,
    lines: csv::Writer<BufWriter<fs::File>>,
}

/// What happened to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reported {
    Refused,
    Noted,
}

impl Report {
    /// Creates the file, in place of a former one.
    ///
    /// # Errors
    /// Returns [`ImportError::File`] if the file cannot be written.
    pub fn create(path: &Path) -> Result<Self, ImportError> {
        let file = create_private_anew(path).map_err(|source| ImportError::File { path: path.to_owned(), source })?;
        let lines = csv::Writer::from_writer(BufWriter::new(file));
        let mut report = Self { path: path.to_owned(), lines };
        report.write(&["row", "id", "email", "outcome", "reason"].map(str::to_owned))?;
        Ok(report)
    }

    pub(super) fn refuse(&mut self, BrokenRow { row, id, email, reason }: &BrokenRow) -> Result<(), ImportError> {
        // A hash in the wrong column is not repeated.
        let shown = |text: &Option<String>| text.clone().filter(|text| !text.contains('$')).unwrap_or_default();
        let (id, email) = (&*shown(id), &*shown(email));
        self.add(*row, [id, email], Reported::Refused, reason)
    }

    pub(super) fn add(
        &mut self,
        row: u64,
        [id, email]: [&str; 2],
        reported: Reported,
        reason: &str,
    ) -> Result<(), ImportError> {
        let outcome = match reported {
            Reported::Refused => "refused",
            Reported::Noted => "noted",
        };
        self.write(&[row.to_string(), harmless(id), harmless(email), outcome.to_owned(), harmless(reason)])
    }

    /// Hands all lines over to the operating system.
    pub(super) fn flush(&mut self) -> Result<(), ImportError> {
        let flushed = self.lines.flush();
        flushed.map_err(|source| self.error(source))
    }

    fn write(&mut self, fields: &[String; 5]) -> Result<(), ImportError> {
        let written = self.lines.write_record(fields);
        written.map_err(|error| self.error(error.into()))
    }

    fn error(&self, source: io::Error) -> ImportError {
        ImportError::File { path: self.path.clone(), source }
    }
}

/// Returns a value that neither a terminal nor a spreadsheet acts on: it is one line of limited length without formulas.
fn harmless(text: &str) -> String {
    let short: String = text.chars().take(MAX_CHARACTERS).collect();
    let escaped = escape_invisible(&short);
    neutralised_cell(&escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_harmless_in_terminals_and_spreadsheets() {
        assert_eq!(harmless("=1+1"), "'=1+1");
        assert_eq!(harmless("\t=1\n\u{1b}[31m"), "\\u{9}=1\\u{a}\\u{1b}[31m");
        assert_eq!(harmless(&"a".repeat(1000)).len(), MAX_CHARACTERS);
        assert_eq!(harmless("ada@example.org"), "ada@example.org");
    }
}
