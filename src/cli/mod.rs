//! The command line: its commands, their arguments and their output.

mod audit;
mod calibrate;
mod command;
mod format;
mod invocation;
mod keys;
mod manual;
pub mod password;
mod users;

pub use self::{
    audit::{AuditCommand, AuditError},
    calibrate::CalibrateCommand,
    command::command,
    format::Format,
    invocation::{Invocation, Task, parse},
    keys::{KeysCommand, KeysDone},
    manual::{completions, write_manual},
    users::{UserAction, UserCommand},
};
