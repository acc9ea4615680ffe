//! The map from the ids of the source to those of the accounts.

use std::{
    io::BufWriter,
    path::{Path, PathBuf},
};

use super::error::ImportError;
use crate::{model::UserId, os::private_files::ReplacedFile};

/// A CSV file with the old and the new id of each imported user. It replaces a former file only when it is complete.
pub struct IdMap {
    path: PathBuf,
    lines: csv::Writer<BufWriter<ReplacedFile>>,
}

impl IdMap {
    /// Creates the file under a temporary name.
    ///
    /// # Errors
    /// Returns [`ImportError::File`] if the file cannot be written.
    pub fn create(path: &Path) -> Result<Self, ImportError> {
        let file = ReplacedFile::create(path).map_err(|source| ImportError::File { path: path.to_owned(), source })?;
        let mut map = Self { path: path.to_owned(), lines: csv::Writer::from_writer(BufWriter::new(file)) };
        map.write("old_id", "new_id")?;
        Ok(map)
    }

    pub(super) fn add(&mut self, old_id: &str, id: UserId) -> Result<(), ImportError> {
        self.write(old_id, &id.to_string())
    }

    /// Gives the file its name.
    pub(super) fn finish(self) -> Result<(), ImportError> {
        let Self { path, lines } = self;
        let file_error = |source| ImportError::File { path: path.clone(), source };
        let lines = lines.into_inner().map_err(|error| file_error(error.into_error()))?;
        let file = lines.into_inner().map_err(|error| file_error(error.into_error()))?;
        file.finish().map_err(file_error)
    }

    fn write(&mut self, old_id: &str, new_id: &str) -> Result<(), ImportError> {
        let written = self.lines.write_record([old_id, new_id]);
        written.map_err(|error| ImportError::File { path: self.path.clone(), source: error.into() })
    }
}
