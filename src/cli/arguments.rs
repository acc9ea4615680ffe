//! Arguments that several commands have.

use clap::{Arg, value_parser};

use crate::{
    accounts::UserRef,
    model::{Name, trimmed},
};

pub(super) fn user_ref() -> Arg {
    Arg::new("USER").required(true).value_parser(parsed::<UserRef>).help("The email or the id of a user")
}

pub(super) fn name() -> Arg {
    Arg::new("NAME").required(true).value_name("NAME").value_parser(parsed::<Name>)
}

pub(super) fn path(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).required(true).value_parser(value_parser!(std::path::PathBuf)).help(help)
}

/// Parses an argument without white space at its ends, which may come from a script with other line ends.
pub(super) fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, T::Err> {
    trimmed(text).parse()
}
