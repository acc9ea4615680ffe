//! The errors that end the process, and its exit codes.

use std::{error::Error, process::ExitCode};

use postern::config::ConfigError;

/// Invalid settings or arguments (`EX_USAGE` of sysexits.h).
pub const INVALID_SETTINGS: u8 = 64;

/// An error that ends the process.
pub enum ExitError {
    Settings(Vec<ConfigError>),
    Other(Box<dyn Error>),
}

impl ExitError {
    /// Prints each error to standard error. Returns the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            Self::Settings(errors) => {
                for error in errors {
                    eprintln!("postern: {error}");
                }
                ExitCode::from(INVALID_SETTINGS)
            }
            Self::Other(error) => {
                eprintln!("postern: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

impl<E: Into<Box<dyn Error>>> From<E> for ExitError {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}
