//! The process: arguments, command, exit code.

mod app;
mod commands;
mod exit;
mod runtime;
mod serve;

use std::{io::Write as _, process::ExitCode};

use postern::{
    cli::{self, Task},
    clock::{Clock as _, SystemClock},
    config::{self, Config, SETTINGS, Setting, Stores, Values},
    logging, os,
    store::{postgres, sqlite::DataDirectory},
};

use self::{
    exit::{ExitError, INVALID_SETTINGS},
    runtime::run_async,
    serve::{Signals, serve},
};

fn main() -> ExitCode {
    logging::report_panics();
    if let Err(error) = os::forbid_memory_access() {
        eprintln!("postern: the memory of this process cannot be kept to itself: {error}");
        return ExitCode::FAILURE;
    }
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(INVALID_SETTINGS) } else { ExitCode::SUCCESS };
        }
    };
    run(invocation.task, &invocation.values).unwrap_or_else(ExitError::report)
}

fn run(task: Task, values: &Values) -> Result<ExitCode, ExitError> {
    match task {
        Task::Serve { migrate } => {
            let config = Config::for_serve(values).map_err(ExitError::Settings)?;
            logging::start(config.log, config.log_format);
            run_async(async {
                // First of all: the first process of a container is not ended by a signal that it does not expect.
                let mut signals = Signals::new()?;
                if migrate && let Stores::PostgresRedis(database, _) = &config.stores {
                    let done = signals.or_signal(postgres::migrate(database)).await?;
                    if done.is_none() {
                        return Ok(ExitCode::SUCCESS);
                    }
                }
                serve(config, signals).await
            })
        }
        Task::Migrate => {
            let url = config::for_migrate(values).map_err(ExitError::Settings)?;
            let applied = run_async(async { Ok(postgres::migrate(&url).await?) })?;
            print(&format!("PostgreSQL is up to date: {applied} migrations applied"))
        }
        Task::Users(task) => print(&commands::users(task, &config::for_users(values).map_err(ExitError::Settings)?)?),
        Task::Audit(task) => print(&commands::audit(&task, &config::for_users(values).map_err(ExitError::Settings)?)?),
        Task::BackUp(target) => {
            let config = config::for_backup(values).map_err(ExitError::Settings)?;
            DataDirectory::existing(&config.data_dir)?.back_up(&target)?;
            print(&format!("{}: the embedded store; the keys are in {}", target.display(), config.keys_dir.display()))
        }
        Task::Calibrate(task) => {
            let config = config::for_calibration(values).map_err(ExitError::Settings)?;
            let done = task.run(&config).map_err(|error| ExitError::Settings(vec![error]))?;
            let printed = print(&done.text)?;
            done.fault.map_or(Ok(printed), |fault| Err(ExitError::from(fault)))
        }
        Task::Completions(shell) => print(cli::completions(shell).trim_end()),
        Task::Manual(directory) => {
            cli::write_manual(&directory)?;
            print(&format!("{0}: the manual; to read it: man -M {0} postern", directory.display()))
        }
        Task::Keys(task) => {
            let config = config::for_keys(values).map_err(ExitError::Settings)?;
            let done = task.run(&config, SystemClock.now())?;
            let printed = print(&done.text)?;
            done.fault
                .map_or(Ok(printed), |fault| Err(ExitError::from(format!("no server can use these keys: {fault}"))))
        }
        Task::ShowConfig => {
            let line = |setting: &Setting| {
                let (value, source) = values.display(setting);
                format!("{:<28} {source:<12} {value}", setting.name)
            };
            let printed = print(&SETTINGS.iter().map(line).collect::<Vec<_>>().join("\n"))?;
            Config::for_serve(values).map(|_| printed).map_err(ExitError::Settings)
        }
    }
}

/// Prints to standard output. Whoever reads that may have gone away: what was asked for is done all the same.
fn print(text: &str) -> Result<ExitCode, ExitError> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
