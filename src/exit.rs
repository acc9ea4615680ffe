//! The errors that end the process, and its exit codes.

use std::{error::Error, process::ExitCode};

use postern::config::Mistake;

/// Invalid settings or arguments (`EX_USAGE` of sysexits.h).
pub const INVALID_SETTINGS: u8 = 64;

/// Ends the process with an error.
pub enum Failure {
    Settings(Vec<Mistake>),
    Other(Box<dyn Error>),
}

impl Failure {
    /// Prints each error, and returns the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            Self::Settings(mistakes) => {
                for mistake in mistakes {
                    eprintln!("postern: {mistake}");
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

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}
