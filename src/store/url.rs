//! URLs of stores, and the files that they are read from: where a password changes, the file has the new one.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::os::private_files::{NotPrivate, read_private};

/// Where a store is, and how to log in there.
pub trait StoreUrl: FromStr<Err = String> {
    /// The file that it was read from, if any.
    fn file(&self) -> Option<&UrlFile>;

    /// The same, read from this file.
    #[must_use]
    fn of(self, file: UrlFile) -> Self;

    /// Reads it from a file that has nothing else, on one line.
    ///
    /// # Errors
    /// Where the file cannot be read, is not for its owner alone, or has no such URL.
    fn read(path: &Path) -> Result<Self, UrlFileError> {
        let text = Zeroizing::new(read_private(path)?.trim().to_owned());
        let url: Self = text.parse().map_err(UrlFileError::NoUrl)?;
        Ok(url.of(UrlFile { path: path.to_owned(), text }))
    }

    /// What its file says now, where that is something else. What is wrong with the file is logged.
    fn reload_if_changed(&self, store: &'static str) -> Option<Self> {
        let file = self.file()?;
        match Self::read(&file.path) {
            Ok(url) if url.file().is_some_and(|read| read.text != file.text) => {
                info!(store, "the URL has changed, and is read again from its file");
                Some(url)
            }
            Ok(_) => None,
            Err(error) => {
                warn!(store, %error, "the file of the URL cannot be read again");
                None
            }
        }
    }
}

/// A file, and what it said when it was read.
#[derive(Clone)]
pub struct UrlFile {
    path: PathBuf,
    text: Zeroizing<String>,
}

impl fmt::Debug for UrlFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(formatter)
    }
}

/// Why a file of a URL is of no use. What it says is not repeated: it may hold the password.
#[derive(Debug, thiserror::Error)]
pub enum UrlFileError {
    /// It was not read.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] NotPrivate),
    /// It was read.
    #[error("the file has something wrong; right would be {0}")]
    NoUrl(String),
}
