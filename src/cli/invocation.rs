//! Reads the command line.

use std::path::PathBuf;

use clap::ArgMatches;
use clap_complete::Shell;
use unicode_normalization::UnicodeNormalization as _;

use super::{
    audit::AuditCommand,
    calibrate::CalibrateCommand,
    command::command,
    format::Format,
    keys::KeysCommand,
    users::{UserAction, UserCommand},
};
use crate::{
    accounts::UserRef,
    config::{Setting, Values},
    keys::Purpose,
    model::{AccountStatus, Role, UserQuery},
};

/// What the process was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Serve the API; with `migrate`, bring PostgreSQL's schema up to date before.
    Serve {
        /// Whether `--migrate` was given.
        migrate: bool,
    },
    /// Bring PostgreSQL's schema up to date.
    Migrate,
    /// Something about users or their sessions.
    Users(UserCommand),
    /// Something about the keys.
    Keys(KeysCommand),
    /// Show the audit trail.
    Audit(AuditCommand),
    /// Measure what a password hash may cost.
    Calibrate(CalibrateCommand),
    /// Copy the embedded store into a new file.
    BackUp(PathBuf),
    /// Show the settings.
    ShowConfig,
    /// Print the completions for a shell.
    Completions(Shell),
    /// Write the manual into a directory.
    Manual(PathBuf),
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
        Some(("user", user)) => Task::Users(user_task(user)),
        Some(("sessions", sessions)) => Task::Users(sessions_task(sessions)),
        Some(("keys", keys)) => Task::Keys(keys_task(keys)),
        Some(("audit", audit)) => Task::Audit(audit_task(audit)),
        Some(("calibrate", calibrate)) => Task::Calibrate(CalibrateCommand {
            target: required(calibrate, "target"),
            memory: calibrate.get_one("memory").copied(),
            format: Format::of(calibrate),
        }),
        Some(("backup", backup)) => Task::BackUp(required(backup, "FILE")),
        Some(("config", _)) => Task::ShowConfig,
        Some(("completions", completions)) => Task::Completions(required(completions, "SHELL")),
        Some(("manual", manual)) => Task::Manual(required(manual, "DIRECTORY")),
        _ => Task::Serve { migrate: matches.get_flag("migrate") },
    }
}

fn user_task(user: &ArgMatches) -> UserCommand {
    let Some((name, arguments)) = user.subcommand() else { unreachable!("clap asks for a command") };
    let format = Format::of(arguments);
    let who = || required(arguments, "USER");
    let action = match name {
        "create" => {
            let role = if arguments.get_flag("admin") { Role::Administrator } else { Role::Member };
            UserAction::Create(required(arguments, "EMAIL"), required(arguments, "NAME"), role)
        }
        "list" => UserAction::List(UserQuery {
            search: arguments.get_one::<String>("search").map(|text| text.trim().nfc().collect()),
            after: arguments.get_one("after").copied(),
            limit: required(arguments, "limit"),
        }),
        "show" => UserAction::Show(who()),
        "set-password" => UserAction::SetPassword(who()),
        "rename" => UserAction::Rename(who(), required(arguments, "NAME")),
        "deactivate" => UserAction::SetStatus(who(), AccountStatus::Inactive),
        "activate" => UserAction::SetStatus(who(), AccountStatus::Active),
        "delete" => UserAction::Delete(who()),
        other => unreachable!("clap knows no command user {other}"),
    };
    UserCommand { action, format }
}

fn sessions_task(sessions: &ArgMatches) -> UserCommand {
    let whose = sessions.subcommand_matches("end").and_then(|end| end.get_one::<UserRef>("USER"));
    let action = whose.map_or(UserAction::EndAllSessions, |who| UserAction::EndSessions(who.clone()));
    UserCommand { action, format: Format::Text }
}

fn audit_task(audit: &ArgMatches) -> AuditCommand {
    let Some(("list", list)) = audit.subcommand() else { unreachable!("clap asks for a command") };
    AuditCommand {
        user: list.get_one("user").cloned(),
        kind: list.get_one("event").copied(),
        since: list.get_one("since").copied(),
        limit: required(list, "limit"),
        format: Format::of(list),
    }
}

fn keys_task(keys: &ArgMatches) -> KeysCommand {
    let Some((name, arguments)) = keys.subcommand() else { unreachable!("clap asks for a command") };
    let purpose = || arguments.get_one::<Purpose>("PURPOSE").copied();
    match name {
        "generate" => purpose().map_or(KeysCommand::Generate, KeysCommand::AddNext),
        "list" => KeysCommand::List(Format::of(arguments)),
        "activate" => KeysCommand::Activate(required(arguments, "KEY")),
        "retire" => KeysCommand::Retire(required(arguments, "ID")),
        "rotate" if arguments.get_flag("emergency") => KeysCommand::EmergencyRotate(required(arguments, "PURPOSE")),
        "rotate" => KeysCommand::Rotate(purpose().map_or(Purpose::ALL.to_vec(), |purpose| vec![purpose])),
        other => unreachable!("clap knows no command keys {other}"),
    }
}

/// An argument that clap has seen to.
fn required<T: Clone + Send + Sync + 'static>(arguments: &ArgMatches, name: &str) -> T {
    arguments.get_one(name).cloned().unwrap_or_else(|| unreachable!("clap asks for {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::SETTINGS, keys::KeySelector};

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
        assert_eq!(task_of(&["config"]), Task::ShowConfig);
    }

    #[test]
    fn each_command_about_keys_has_its_task() {
        let keys = |arguments: &[&str]| match task_of(&[&["keys"], arguments].concat()) {
            Task::Keys(task) => task,
            other => panic!("{other:?}"),
        };

        assert_eq!(keys(&["generate"]), KeysCommand::Generate);
        assert_eq!(keys(&["generate", "access"]), KeysCommand::AddNext(Purpose::Access));
        assert_eq!(keys(&["list", "--json"]), KeysCommand::List(Format::Json));
        assert_eq!(keys(&["activate", "refresh"]), KeysCommand::Activate(KeySelector::NextOf(Purpose::Refresh)));
        assert_eq!(keys(&["activate", "k4.pid.x"]), KeysCommand::Activate(KeySelector::Id("k4.pid.x".to_owned())));
        assert_eq!(keys(&["retire", "k4.lid.x"]), KeysCommand::Retire("k4.lid.x".to_owned()));
        assert_eq!(keys(&["rotate"]), KeysCommand::Rotate(Purpose::ALL.to_vec()));
        assert_eq!(keys(&["rotate", "limiter"]), KeysCommand::Rotate(vec![Purpose::Limiter]));
        assert_eq!(keys(&["rotate", "access", "--emergency"]), KeysCommand::EmergencyRotate(Purpose::Access));
    }

    #[test]
    fn an_emergency_is_one_of_a_purpose_that_is_named() {
        assert!(parsed(&["keys", "rotate", "--emergency"]).is_err());
        assert!(parsed(&["keys", "rotate", "everything"]).is_err());
    }

    #[test]
    fn a_setting_is_a_flag_before_and_after_the_command() {
        for arguments in [["--issuer", "me", "config"], ["config", "--issuer", "me"]] {
            let invocation = parsed(&arguments).expect("valid arguments");
            let issuer = SETTINGS.iter().find(|setting| setting.flag() == "issuer").expect("a setting");
            assert_eq!(invocation.values.display(issuer).0, "me");
        }
    }

    #[test]
    fn a_secret_is_no_flag() {
        assert!(parsed(&["--database-url", "postgres://localhost"]).is_err());
    }
}
