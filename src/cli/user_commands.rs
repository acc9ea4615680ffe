//! The definition of the commands about users.

use clap::{Arg, ArgAction, Command, value_parser};

use super::{
    arguments::{name, parsed, user_ref},
    user_export::ExportFormat,
    user_list::{role, user_list},
};
use crate::model::{Email, MAX_PAGE};

const PASSWORD: &str = "The command asks for the password twice. If standard input is not a terminal, the command reads the \
                        password from it";

/// A write that would leave no active administrator with a password fails.
const LAST_ADMINISTRATOR: &str =
    "The command fails, and changes nothing, if no active administrator would have a password afterwards";

pub(super) fn user() -> Command {
    let json = Arg::new("json").long("json").global(true).action(ArgAction::SetTrue).help("Print JSON");
    let command = Command::new("user")
        .about("Create, list and change users, with or without a running server")
        .subcommand_required(true)
        .arg(json)
        .subcommand(create())
        .subcommand(user_list())
        .subcommand(user_export())
        .subcommand(Command::new("show").about("Show a user").arg(user_ref()));
    changes().into_iter().fold(command, Command::subcommand)
}

fn create() -> Command {
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    Command::new("create")
        .about("Create a user")
        .after_help(PASSWORD)
        .arg(email().help("The email for the login"))
        .arg(name().long("name").help("The display name"))
        .arg(flag("admin").help("Give the role administrator, which may use the admin API"))
        .arg(flag("email-verified").help("Mark the email as verified"))
        .arg(flag("no-password").help("Accept no password until one is set"))
}

/// The commands that change a user, in the order of their fields.
fn changes() -> Vec<Command> {
    let one = |name: &'static str, about: &'static str| Command::new(name).about(about).arg(user_ref());
    let verified = Arg::new("verified").long("verified").action(ArgAction::SetTrue);
    let new_role = Arg::new("ROLE").required(true).value_parser(role).help("The new role: member or administrator");
    vec![
        one("set-password", "Set the password of a user and end all sessions of the user").after_help(PASSWORD),
        one("disable-password", "Accept no password of a user until one is set, and end all sessions of the user")
            .after_help(LAST_ADMINISTRATOR),
        one("rename", "Change the name of a user").arg(name().help("The new name")),
        one("set-email", "Change the email of a user")
            .arg(email().help("The new email, which is not verified"))
            .arg(verified.help("Mark the new email as verified")),
        one("verify-email", "Mark the email of a user as verified"),
        one("unverify-email", "Mark the email of a user as not verified"),
        one("set-role", "Change the role of a user").arg(new_role).after_help(LAST_ADMINISTRATOR),
        one("deactivate", "Deactivate the account of a user and end all sessions of the user")
            .after_help(LAST_ADMINISTRATOR),
        one("activate", "Activate the account of a user"),
        delete(),
    ]
}

fn delete() -> Command {
    let dry_run = Arg::new("dry-run").long("dry-run").action(ArgAction::SetTrue);
    Command::new("delete")
        .about("Delete users permanently, all or none, and end all their sessions")
        .after_help(LAST_ADMINISTRATOR)
        .arg(user_ref().num_args(1..=MAX_PAGE as usize).help("The emails or the ids of 1 to 200 users"))
        .arg(dry_run.help("Print who would be deleted, and change nothing"))
}

fn email() -> Arg {
    Arg::new("EMAIL").required(true).value_parser(parsed::<Email>)
}

fn user_export() -> Command {
    let after = "Redirect the output to a file, for example `umask 077; postern user export > users.jsonl`. If the command \
                 fails, the output is incomplete";
    Command::new("export")
        .about("Write all users to standard output")
        .after_help(after)
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .default_value("jsonl")
                .value_parser(value_parser!(ExportFormat))
                .conflicts_with("json")
                .help("A JSON object on each line, or CSV with a header"),
        )
        .arg(
            Arg::new("with-hashes")
                .long("with-hashes")
                .action(ArgAction::SetTrue)
                .help("Add the password hashes; refused if standard output is a terminal"),
        )
}
