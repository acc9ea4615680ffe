//! The command line: its commands, their arguments and their output.

mod arguments;
mod audit;
mod calibrate;
mod command;
mod import;
mod invocation;
mod keys;
mod manual;
mod output;
pub mod password;
mod user_commands;
mod user_export;
mod user_list;
mod user_views;
mod users;

pub use self::{
    audit::{AuditCommand, AuditError},
    calibrate::CalibrateCommand,
    command::command,
    import::{FromArgument, ImportCommand},
    invocation::{Invocation, Subcommand, parse},
    keys::KeysCommand,
    manual::{completions, write_manual},
    output::{Format, OutputReader, Report},
    user_export::{ExportError, ExportFormat, UserExport},
    users::{EmailVerification, InitialPassword, UserAction, UserCommand, UserToCreate},
};
