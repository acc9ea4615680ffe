//! The command line.

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{SETTINGS, Setting, Values};

/// What the process was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Serve the API; with `migrate`, bring PostgreSQL's schema up to date before.
    Serve {
        /// Whether `--migrate` was given.
        migrate: bool,
    },
    /// Bring PostgreSQL's schema up to date.
    Migrate,
    /// Make the keys that are missing.
    GenerateKeys,
    /// Show the keys.
    ListKeys,
    /// Show the settings.
    ShowConfig,
}

/// What the process was asked to do, and with which settings.
pub struct Invocation {
    /// What to do.
    pub task: Task,
    /// The flags, and the environment.
    pub values: Values,
}

/// Reads the command line.
///
/// # Errors
/// What clap has to say: a mistake, or the help that was asked for.
pub fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let flag = |setting: &Setting| {
        if setting.is_secret { None } else { matches.get_one::<String>(setting.name).cloned() }
    };
    Ok(Invocation { task: task(&matches), values: Values::of_process(flag) })
}

fn task(matches: &ArgMatches) -> Task {
    match matches.subcommand() {
        Some(("serve", serve)) => Task::Serve { migrate: serve.get_flag("migrate") || matches.get_flag("migrate") },
        Some(("migrate", _)) => Task::Migrate,
        Some(("keys", keys)) if keys.subcommand_name() == Some("generate") => Task::GenerateKeys,
        Some(("keys", _)) => Task::ListKeys,
        Some(("config", _)) => Task::ShowConfig,
        _ => Task::Serve { migrate: matches.get_flag("migrate") },
    }
}

/// The whole command line; public so that documents can be made from it.
#[must_use]
pub fn command() -> Command {
    let keys = Command::new("keys")
        .about("Make or show the keys that tokens are signed with")
        .subcommand_required(true)
        .subcommand(Command::new("generate").about("Make the keys that are missing, and show them"))
        .subcommand(Command::new("list").about("Show the keys: purpose, state, age, id"));
    Command::new("postern")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Keeps an application's user accounts: sign-up, login, refresh, logout, profile, password change")
        .after_help(after_help())
        .args(SETTINGS.iter().filter(|setting| !setting.is_secret).map(argument))
        .arg(migrate())
        .subcommand(Command::new("serve").about("Serve the API (the default)").arg(migrate()))
        .subcommand(Command::new("migrate").about("Bring the schema of PostgreSQL up to date, and exit"))
        .subcommand(keys)
        .subcommand(Command::new("config").about("Show every setting, its value, and where that came from"))
}

fn migrate() -> Arg {
    Arg::new("migrate")
        .long("migrate")
        .action(ArgAction::SetTrue)
        .help("Bring the schema of PostgreSQL up to date before serving")
}

fn argument(setting: &Setting) -> Arg {
    Arg::new(setting.name)
        .long(setting.flag())
        .value_name("VALUE")
        .global(true)
        .hide_short_help(false)
        .help_heading("Settings")
        .help(format!("{} [{}] [default: {}]", setting.help, setting.name, setting.default))
}

fn after_help() -> String {
    let secrets = SETTINGS.iter().filter(|setting| setting.is_secret);
    let lines: Vec<_> = secrets.map(|setting| format!("  {:<14} {}", setting.name, setting.help)).collect();
    format!(
        "Secrets, from the environment only:\n{}\n\n\
         Exit codes: 0 drained, 1 failed to start or forced to stop, 64 wrong settings or arguments.",
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Invocation, clap::Error> {
        parse(std::iter::once("postern").chain(arguments.iter().copied()).map(Into::into))
    }

    fn task_of(arguments: &[&str]) -> Task {
        parsed(arguments).map(|invocation| invocation.task).expect("valid arguments")
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn serving_is_the_default() {
        assert_eq!(task_of(&[]), Task::Serve { migrate: false });
        assert_eq!(task_of(&["--migrate"]), Task::Serve { migrate: true });
        assert_eq!(task_of(&["serve", "--migrate"]), Task::Serve { migrate: true });
        assert_eq!(task_of(&["--migrate", "serve"]), Task::Serve { migrate: true });
        assert_eq!(task_of(&["--listen", "127.0.0.1:0"]), Task::Serve { migrate: false });
    }

    #[test]
    fn each_command_has_its_task() {
        assert_eq!(task_of(&["migrate"]), Task::Migrate);
        assert_eq!(task_of(&["keys", "generate"]), Task::GenerateKeys);
        assert_eq!(task_of(&["keys", "list"]), Task::ListKeys);
        assert_eq!(task_of(&["config"]), Task::ShowConfig);
    }

    #[test]
    fn a_setting_is_a_flag_before_and_after_the_command() {
        for arguments in [["--issuer", "me", "config"], ["config", "--issuer", "me"]] {
            let invocation = parsed(&arguments).expect("valid arguments");
            let issuer = SETTINGS.iter().find(|setting| setting.flag() == "issuer").expect("a setting");
            assert_eq!(invocation.values.shown(issuer).0, "me");
        }
    }

    #[test]
    fn a_secret_is_no_flag() {
        assert!(parsed(&["--database-url", "postgres://localhost"]).is_err());
    }
}
