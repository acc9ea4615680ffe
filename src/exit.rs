//! The errors that end the process, and its exit codes.

use std::{error::Error, process::ExitCode};

use postern::{config::ConfigError, logging::print_error};

/// Invalid settings or arguments (`EX_USAGE` of sysexits.h).
pub const INVALID_SETTINGS: u8 = 64;

/// An error that ends the process.
pub enum ExitError {
    Settings(Vec<ConfigError>),
    Other(Box<dyn Error + Send + Sync>),
}

impl ExitError {
    /// Prints each error to standard error. Returns the exit code, which `main` must return: it waits for the output.
    pub fn report(self) -> ExitCode {
        match self {
            Self::Settings(errors) => {
                for error in errors {
                    print_error(&error);
                }
                ExitCode::from(INVALID_SETTINGS)
            }
            Self::Other(error) => {
                print_error(&error);
                ExitCode::FAILURE
            }
        }
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for ExitError {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}
