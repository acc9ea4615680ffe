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
    audit::{AuditError, AuditTask},
    calibrate::CalibrateTask,
    command::command,
    format::Format,
    invocation::{Invocation, Task, parse},
    keys::{KeysDone, KeysTask},
    manual::{completions, write_manual},
    users::{UserAction, UserTask},
};
