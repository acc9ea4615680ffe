//! The output of commands.

use clap::ArgMatches;
use serde::Serialize;

use crate::model::{ControlEscape, escape_control};

/// The format of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Format {
    /// Returns the format of a command with a flag `--json`.
    pub(super) fn of(arguments: &ArgMatches) -> Self {
        if arguments.get_flag("json") { Self::Json } else { Self::Text }
    }
}

/// Whether the output has a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputReader {
    /// It may have.
    Open,
    /// It has none: the pipe is closed.
    Gone,
}

/// The output of a command that may succeed and still find a fault.
#[derive(Debug)]
pub struct Report {
    /// The text to print.
    pub text: String,
    /// The fault, which fails the process after the text is printed.
    pub fault: Option<String>,
}

/// Returns a value as JSON. The output may be read in a terminal, so control characters of its texts are escaped.
pub(super) fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_else(|_| unreachable!("views have only keys that are strings"));
    escape_control(&text, ControlEscape::Json)
}
