//! How a command says what was done.

use clap::ArgMatches;
use serde::Serialize;

/// How to say what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Format {
    /// What a command with a `--json` flag was asked for.
    pub(super) fn of(arguments: &ArgMatches) -> Self {
        if arguments.get_flag("json") { Self::Json } else { Self::Text }
    }
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| unreachable!("texts are always JSON"))
}
