//! The process: arguments, command, exit code.

mod app;
mod commands;
mod exit;
mod runtime;
mod serve;
mod signals;
mod standard_output;

use std::process::ExitCode;

use postern::{
    cli::{self, Subcommand},
    config::Values,
    logging, os,
};
use tikv_jemallocator::Jemalloc;

use self::{
    commands::Output,
    exit::{ExitError, INVALID_SETTINGS},
    runtime::run_async,
    serve::ServeCommand,
    signals::run_stoppable,
};

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    logging::report_panics();
    if let Err(error) = logging::open() {
        return ExitError::from(format!("failed to open standard error: {error}")).report();
    }
    let _finish = FinishLog;
    run_process()
}

/// Waits for the reader of the log when `main` ends, also by a panic.
struct FinishLog;

impl Drop for FinishLog {
    fn drop(&mut self) {
        logging::finish();
    }
}

fn run_process() -> ExitCode {
    if let Err(error) = os::forbid_memory_access() {
        return ExitError::from(format!("failed to forbid access to the memory of this process: {error}")).report();
    }
    match cli::parse(std::env::args_os()) {
        Ok(invocation) => run(invocation.subcommand, invocation.values).unwrap_or_else(ExitError::report),
        Err(error) if error.use_stderr() => {
            logging::print_lines(&error.render().to_string());
            ExitCode::from(INVALID_SETTINGS)
        }
        Err(help) => {
            let _ = help.print();
            ExitCode::SUCCESS
        }
    }
}

fn run(subcommand: Subcommand, values: Values) -> Result<ExitCode, ExitError> {
    let output = match subcommand {
        Subcommand::Serve { migrate } => {
            let command = ServeCommand { values, migrate };
            return run_async(run_stoppable(move |signals, limit| command.run(signals, limit)));
        }
        Subcommand::Migrate => commands::migrate(&values)?,
        Subcommand::Users(command) => commands::users(command, &values)?,
        Subcommand::ExportUsers(export) => {
            commands::export_users(export, &values)?;
            return Ok(ExitCode::SUCCESS);
        }
        Subcommand::Import(command) => commands::import(&command, &values)?,
        Subcommand::Keys(command) => commands::keys(&command, &values)?,
        Subcommand::Audit(command) => commands::audit(&command, &values)?,
        Subcommand::Calibrate(command) => commands::calibrate(&command, &values)?,
        Subcommand::BackUp(target) => commands::back_up(&target, &values)?,
        Subcommand::Health => commands::health(&values)?,
        Subcommand::ShowConfig => commands::show_config(&values),
        Subcommand::Completions(shell) => Output::from(cli::completions(shell).trim_end().to_owned()),
        Subcommand::Manual(directory) => commands::write_manual(&directory)?,
    };
    standard_output::write(format!("{}\n", output.text).as_bytes())?;
    output.error.map_or(Ok(ExitCode::SUCCESS), Err)
}
