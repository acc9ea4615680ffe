//! Parses the command line.

use std::path::PathBuf;

use clap::{
    ArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
};
use clap_complete::Shell;

use super::{
    audit::AuditCommand,
    calibrate::CalibrateCommand,
    command::command,
    import::ImportCommand,
    keys::KeysCommand,
    output::Format,
    user_export::UserExport,
    user_list,
    users::{EmailVerification, InitialPassword, UserAction, UserCommand, UserToCreate},
};
use crate::{
    accounts::UserRef,
    config::{Setting, Values},
    keys::Purpose,
    model::{AccountStatus, Role, escape_invisible},
    store::DeletionMode,
};

/// A subcommand with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subcommand {
    /// Serve the API. This is the default.
    Serve {
        /// Whether to migrate the schema of PostgreSQL first.
        migrate: bool,
    },
    /// Migrate the schema of PostgreSQL.
    Migrate,
    /// Manage users or their sessions.
    Users(UserCommand),
    /// Export all users.
    ExportUsers(UserExport),
    /// Import users.
    Import(ImportCommand),
    /// Manage the keys.
    Keys(KeysCommand),
    /// List audit events.
    Audit(AuditCommand),
    /// Measure password hashes.
    Calibrate(CalibrateCommand),
    /// Copy the embedded store into a new file.
    BackUp(PathBuf),
    /// Ask the local server whether it is ready.
    Health,
    /// Print the settings.
    ShowConfig,
    /// Print the completion script of a shell.
    Completions(Shell),
    /// Write the manual pages into a directory.
    Manual(PathBuf),
}

/// A parsed command line.
pub struct Invocation {
    /// The subcommand.
    pub subcommand: Subcommand,
    /// The settings from flags and environment.
    pub values: Values,
}

/// Parses the command line.
///
/// # Errors
/// Returns the error of clap, which may also be the help.
pub fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(arguments).map_err(with_escaped_values)?;
    let flag = |setting: &Setting| {
        if setting.is_secret { None } else { matches.get_one::<String>(setting.name).cloned() }
    };
    let subcommand = subcommand(&matches)
        .map_err(|message| command().error(ErrorKind::ValueValidation, escape_invisible(&message)))?;
    Ok(Invocation { subcommand, values: Values::of_process(flag) })
}

/// Escapes control characters in the values that an error repeats.
fn with_escaped_values(mut error: clap::Error) -> clap::Error {
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue] {
        if let Some(ContextValue::String(text)) = error.get(kind) {
            let escaped = escape_invisible(text);
            error.insert(kind, ContextValue::String(escaped));
        }
    }
    error
}

/// Returns the subcommand, or the error of an argument that does not fit the others.
fn subcommand(matches: &ArgMatches) -> Result<Subcommand, String> {
    Ok(match matches.subcommand() {
        Some(("serve", serve)) => {
            Subcommand::Serve { migrate: serve.get_flag("migrate") || matches.get_flag("migrate") }
        }
        Some(("migrate", _)) => Subcommand::Migrate,
        Some(("user", user)) if let Some(export) = user.subcommand_matches("export") => {
            let format = required(export, "format");
            Subcommand::ExportUsers(UserExport { format, with_hashes: export.get_flag("with-hashes") })
        }
        Some(("user", user)) => Subcommand::Users(user_command(user)?),
        Some(("sessions", sessions)) => Subcommand::Users(sessions_command(sessions)),
        Some(("import", import)) => Subcommand::Import(ImportCommand::of(import)),
        Some(("keys", keys)) => Subcommand::Keys(keys_command(keys)),
        Some(("audit", audit)) => Subcommand::Audit(audit_command(audit)),
        Some(("calibrate", calibrate)) => Subcommand::Calibrate(CalibrateCommand {
            target: required(calibrate, "target"),
            memory: calibrate.get_one("memory").copied(),
            format: Format::of(calibrate),
        }),
        Some(("backup", backup)) => Subcommand::BackUp(required(backup, "FILE")),
        Some(("health", _)) => Subcommand::Health,
        Some(("config", _)) => Subcommand::ShowConfig,
        Some(("completions", completions)) => Subcommand::Completions(required(completions, "SHELL")),
        Some(("manual", manual)) => Subcommand::Manual(required(manual, "DIRECTORY")),
        _ => Subcommand::Serve { migrate: matches.get_flag("migrate") },
    })
}

fn user_command(user: &ArgMatches) -> Result<UserCommand, String> {
    let Some((name, arguments)) = user.subcommand() else { unreachable!("clap requires a subcommand") };
    let format = Format::of(arguments);
    let user_ref = || required(arguments, "USER");
    let action = match name {
        "create" => UserAction::Create(user_to_create(arguments)),
        "list" => UserAction::List(user_list::query(arguments)?),
        "show" => UserAction::Show(user_ref()),
        "set-password" => UserAction::SetPassword(user_ref()),
        "disable-password" => UserAction::DisablePassword(user_ref()),
        "rename" => UserAction::Rename(user_ref(), required(arguments, "NAME")),
        "set-email" => {
            UserAction::SetEmail(user_ref(), required(arguments, "EMAIL"), verification(arguments, "verified"))
        }
        "verify-email" => UserAction::SetEmailVerification(user_ref(), EmailVerification::Verified),
        "unverify-email" => UserAction::SetEmailVerification(user_ref(), EmailVerification::Unverified),
        "set-role" => UserAction::SetRole(user_ref(), required(arguments, "ROLE")),
        "deactivate" => UserAction::SetStatus(user_ref(), AccountStatus::Inactive),
        "activate" => UserAction::SetStatus(user_ref(), AccountStatus::Active),
        "delete" => {
            let mode = if arguments.get_flag("dry-run") { DeletionMode::DryRun } else { DeletionMode::Real };
            UserAction::Delete(arguments.get_many("USER").into_iter().flatten().cloned().collect(), mode)
        }
        other => unreachable!("clap accepts no subcommand {other}"),
    };
    Ok(UserCommand { action, format })
}

fn user_to_create(create: &ArgMatches) -> UserToCreate {
    UserToCreate {
        email: required(create, "EMAIL"),
        verification: verification(create, "email-verified"),
        name: required(create, "NAME"),
        role: if create.get_flag("admin") { Role::Administrator } else { Role::Member },
        password: if create.get_flag("no-password") { InitialPassword::None } else { InitialPassword::Asked },
    }
}

fn verification(arguments: &ArgMatches, flag: &str) -> EmailVerification {
    if arguments.get_flag(flag) { EmailVerification::Verified } else { EmailVerification::Unverified }
}

fn sessions_command(sessions: &ArgMatches) -> UserCommand {
    let user_ref = sessions.subcommand_matches("end").and_then(|end| end.get_one::<UserRef>("USER"));
    let action = user_ref.cloned().map_or(UserAction::EndAllSessions, UserAction::EndSessions);
    UserCommand { action, format: Format::Text }
}

fn audit_command(audit: &ArgMatches) -> AuditCommand {
    let Some(("list", list)) = audit.subcommand() else { unreachable!("clap requires a subcommand") };
    AuditCommand {
        user: list.get_one("user").cloned(),
        kind: list.get_one("event").copied(),
        since: list.get_one("since").copied(),
        limit: required(list, "limit"),
        format: Format::of(list),
    }
}

fn keys_command(keys: &ArgMatches) -> KeysCommand {
    let Some((name, arguments)) = keys.subcommand() else { unreachable!("clap requires a subcommand") };
    let purpose = || arguments.get_one::<Purpose>("PURPOSE").copied();
    match name {
        "generate" => purpose().map_or(KeysCommand::Generate, KeysCommand::AddNext),
        "list" => KeysCommand::List(Format::of(arguments)),
        "activate" => KeysCommand::Activate(required(arguments, "KEY")),
        "retire" => KeysCommand::Retire(required(arguments, "ID")),
        "rotate" if arguments.get_flag("emergency") => KeysCommand::EmergencyRotate(required(arguments, "PURPOSE")),
        "rotate" => KeysCommand::Rotate(purpose().map_or(Purpose::ALL.to_vec(), |purpose| vec![purpose])),
        other => unreachable!("clap accepts no subcommand {other}"),
    }
}

/// Returns an argument that clap requires.
fn required<T: Clone + Send + Sync + 'static>(arguments: &ArgMatches, name: &str) -> T {
    arguments.get_one(name).cloned().unwrap_or_else(|| unreachable!("clap requires {name}"))
}

#[cfg(test)]
mod tests {
    use super::super::user_export::ExportFormat;
    use super::*;
    use crate::{config::SETTINGS, keys::KeySelector, model::Email};

    fn parsed(arguments: &[&str]) -> Result<Invocation, clap::Error> {
        parse(std::iter::once("postern").chain(arguments.iter().copied()).map(Into::into))
    }

    fn subcommand_of(arguments: &[&str]) -> Subcommand {
        parsed(arguments).map(|invocation| invocation.subcommand).expect("valid arguments")
    }

    #[test]
    fn command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn serve_is_the_default() {
        assert_eq!(subcommand_of(&[]), Subcommand::Serve { migrate: false });
        assert_eq!(subcommand_of(&["--migrate"]), Subcommand::Serve { migrate: true });
        assert_eq!(subcommand_of(&["serve", "--migrate"]), Subcommand::Serve { migrate: true });
        assert_eq!(subcommand_of(&["--migrate", "serve"]), Subcommand::Serve { migrate: true });
        assert_eq!(subcommand_of(&["--listen", "127.0.0.1:0"]), Subcommand::Serve { migrate: false });
    }

    #[test]
    fn commands_without_arguments_are_parsed() {
        assert_eq!(subcommand_of(&["migrate"]), Subcommand::Migrate);
        assert_eq!(subcommand_of(&["config"]), Subcommand::ShowConfig);
        assert_eq!(subcommand_of(&["health"]), Subcommand::Health);
    }

    #[test]
    fn key_commands_are_parsed() {
        let keys = |arguments: &[&str]| match subcommand_of(&[&["keys"], arguments].concat()) {
            Subcommand::Keys(command) => command,
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
    fn emergency_rotation_requires_a_purpose() {
        assert!(parsed(&["keys", "rotate", "--emergency"]).is_err());
        assert!(parsed(&["keys", "rotate", "everything"]).is_err());
    }

    #[test]
    fn changes_of_users_are_parsed() {
        let action = |arguments: &[&str]| match subcommand_of(&[&["user"], arguments].concat()) {
            Subcommand::Users(command) => command.action,
            other => panic!("{other:?}"),
        };
        let (email, user): (Email, UserRef) =
            ("ada@example.org".parse().expect("it"), "ada@example.org".parse().expect("it"));
        let (verified, unverified) = (EmailVerification::Verified, EmailVerification::Unverified);

        let set = ["set-email", "ada@example.org", "ada@example.org"];
        assert_eq!(action(&set), UserAction::SetEmail(user.clone(), email.clone(), unverified));
        assert_eq!(
            action(&[&set[..], &["--verified"]].concat()),
            UserAction::SetEmail(user.clone(), email.clone(), verified)
        );
        let role = UserAction::SetRole(user.clone(), Role::Administrator);
        assert_eq!(action(&["set-role", "ada@example.org", "administrator"]), role);
        let two = vec![user.clone(), user.clone()];
        let delete = ["delete", "ada@example.org", "ada@example.org"];
        assert_eq!(action(&delete), UserAction::Delete(two.clone(), DeletionMode::Real));
        assert_eq!(action(&[&delete[..], &["--dry-run"]].concat()), UserAction::Delete(two, DeletionMode::DryRun));
        let create = ["create", "ada@example.org", "--name", "Ada", "--no-password", "--email-verified"];
        let new = UserToCreate {
            email,
            verification: verified,
            name: "Ada".parse().expect("a name"),
            role: Role::Member,
            password: InitialPassword::None,
        };
        assert_eq!(action(&create), UserAction::Create(new));
        assert!(parsed(&["user", "delete"]).is_err());
        assert!(parsed(&["user", "set-role", "ada@example.org", "root"]).is_err());
    }

    #[test]
    fn export_is_jsonl_without_hashes_by_default() {
        let export = |format, with_hashes| Subcommand::ExportUsers(UserExport { format, with_hashes });

        for arguments in
            [&["user", "export"][..], &["user", "export", "--json"], &["user", "export", "--format", "jsonl"]]
        {
            assert_eq!(subcommand_of(arguments), export(ExportFormat::Jsonl, false), "{arguments:?}");
        }
        let csv = subcommand_of(&["user", "export", "--with-hashes", "--format", "csv"]);
        assert_eq!(csv, export(ExportFormat::Csv, true));
        assert!(parsed(&["user", "export", "--format", "xml"]).is_err());
        assert!(parsed(&["user", "export", "--json", "--format", "csv"]).is_err());
    }

    #[test]
    fn settings_are_flags_before_and_after_the_command() {
        for arguments in [["--issuer", "me", "config"], ["config", "--issuer", "me"]] {
            let invocation = parsed(&arguments).expect("valid arguments");
            let issuer = SETTINGS.iter().find(|setting| setting.flag() == "issuer").expect("a setting");
            assert_eq!(invocation.values.display(issuer).0, "me");
        }
    }

    #[test]
    fn secrets_have_no_flag() {
        assert!(parsed(&["--database-url", "postgres://localhost"]).is_err());
    }
}
