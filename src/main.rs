//! The process: arguments, command, exit code.

mod app;
mod commands;
mod exit;
mod runtime;
mod serve;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use postern::{
    cli::{self, Subcommand},
    config::{Config, Stores, Values},
    logging, os,
    store::postgres,
};

use self::{
    commands::Output,
    exit::{ExitError, INVALID_SETTINGS},
    runtime::run_async,
    serve::{Signals, serve},
};

fn main() -> ExitCode {
    logging::report_panics();
    if let Err(error) = os::forbid_memory_access() {
        eprintln!("postern: failed to forbid access to the memory of this process: {error}");
        return ExitCode::FAILURE;
    }
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(INVALID_SETTINGS) } else { ExitCode::SUCCESS };
        }
    };
    run(invocation.subcommand, &invocation.values).unwrap_or_else(ExitError::report)
}

fn run(subcommand: Subcommand, values: &Values) -> Result<ExitCode, ExitError> {
    let output = match subcommand {
        Subcommand::Serve { migrate: false } => return run_server(values),
        Subcommand::Serve { migrate: true } => return migrate_and_serve(values),
        Subcommand::Migrate => commands::migrate(values)?,
        Subcommand::Users(command) => commands::users(command, values)?,
        Subcommand::Keys(command) => commands::keys(&command, values)?,
        Subcommand::Audit(command) => commands::audit(&command, values)?,
        Subcommand::Calibrate(command) => commands::calibrate(&command, values)?,
        Subcommand::BackUp(target) => commands::back_up(&target, values)?,
        Subcommand::ShowConfig => commands::show_config(values),
        Subcommand::Completions(shell) => Output::from(cli::completions(shell).trim_end().to_owned()),
        Subcommand::Manual(directory) => commands::write_manual(&directory)?,
    };
    print(&output.text)?;
    output.error.map_or(Ok(ExitCode::SUCCESS), Err)
}

fn run_server(values: &Values) -> Result<ExitCode, ExitError> {
    let config = server_config(values)?;
    run_async(async { serve(config, Signals::new()?).await })
}

/// Migrates the schema of PostgreSQL, then serves.
fn migrate_and_serve(values: &Values) -> Result<ExitCode, ExitError> {
    let config = server_config(values)?;
    run_async(async {
        // Before the migration: as the first process of a container, this one ignores signals that it does not handle.
        let mut signals = Signals::new()?;
        if let Stores::PostgresRedis(database, _) = &config.stores
            && signals.or_signal(postgres::migrate(database)).await?.is_none()
        {
            return Ok(ExitCode::SUCCESS);
        }
        serve(config, signals).await
    })
}

/// Reads the settings of a server and starts its log.
fn server_config(values: &Values) -> Result<Config, ExitError> {
    let config = Config::for_serve(values).map_err(ExitError::Settings)?;
    logging::start(config.log, config.log_format);
    Ok(config)
}

/// Prints to standard output. A closed pipe is no error: the command is done.
fn print(text: &str) -> io::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
