//! The command line as clap reads it.

use clap::{Arg, ArgAction, ArgGroup, Command, value_parser};

use super::calibrate::{memory, target};
use crate::{
    accounts::UserRef,
    config::{SETTINGS, Setting},
    keys::{KeySelector, Purpose},
    model::{Cursor, Email, EventKind, Name},
};

/// How many events `audit list` shows, unless the command says otherwise.
const EVENTS: &str = "100";

/// How many users a page of `user list` has, unless the command says otherwise.
const PAGE: &str = "50";

/// The whole command line.
#[must_use]
pub fn command() -> Command {
    Command::new("postern")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Keeps an application's user accounts: sign-up, login, refresh, logout, profile, password change")
        .after_help(after_help())
        .args(SETTINGS.iter().filter(|setting| !setting.is_secret).map(argument))
        .arg(migrate())
        .subcommand(Command::new("serve").about("Serve the API (the default)").arg(migrate()))
        .subcommand(Command::new("migrate").about("Bring the schema of PostgreSQL up to date, and exit"))
        .subcommand(user())
        .subcommand(sessions())
        .subcommand(keys())
        .subcommand(audit())
        .subcommand(calibrate())
        .subcommand(
            Command::new("backup")
                .about("Copy the embedded store into a new file, whether it is served or not; the keys are not in it")
                .arg(path("FILE", "The new file; copied back to the place of the store, it restores it")),
        )
        .subcommand(Command::new("config").about("Show every setting, its value, and where that came from"))
        .subcommand(
            Command::new("completions").about("Print the completions for a shell").arg(
                Arg::new("SHELL").required(true).value_parser(value_parser!(clap_complete::Shell)).help("The shell"),
            ),
        )
        .subcommand(
            Command::new("manual")
                .about("Write the manual: a page for each command, as man(1) reads them")
                .arg(path("DIRECTORY", "Where to write them, as in /usr/local/share/man")),
        )
}

fn user() -> Command {
    let json = Arg::new("json").long("json").global(true).action(ArgAction::SetTrue).help("Print JSON");
    let password = "The password is asked for twice; where standard input is no terminal, it is read from there";
    Command::new("user")
        .about("Make, show and change users, beside a running server or without one")
        .subcommand_required(true)
        .arg(json)
        .subcommand(
            Command::new("create")
                .about("Make a user")
                .after_help(password)
                .arg(Arg::new("EMAIL").required(true).value_parser(parsed::<Email>).help("What the user logs in with"))
                .arg(name().long("name").help("What the user is shown by"))
                .arg(Arg::new("admin").long("admin").action(ArgAction::SetTrue).help("Make an administrator")),
        )
        .subcommand(
            Command::new("list")
                .about("Show users, newest first")
                .arg(Arg::new("search").long("search").value_name("TEXT").help("Only those with this in email or name"))
                .arg(
                    Arg::new("limit")
                        .long("limit")
                        .value_name("NUMBER")
                        .default_value(PAGE)
                        .value_parser(value_parser!(u32).range(1..=1000))
                        .help("How many, 1 to 1000"),
                )
                .arg(
                    Arg::new("after")
                        .long("after")
                        .value_name("CURSOR")
                        .value_parser(parsed::<Cursor>)
                        .help("Those after a page that ended with this cursor"),
                ),
        )
        .subcommand(Command::new("show").about("Show a user").arg(who()))
        .subcommand(
            Command::new("set-password")
                .about("Set a user's password, and end their sessions")
                .after_help(password)
                .arg(who()),
        )
        .subcommand(
            Command::new("rename").about("Give a user another name").arg(who()).arg(name().help("The new name")),
        )
        .subcommand(Command::new("deactivate").about("Close a user's account, and end their sessions").arg(who()))
        .subcommand(Command::new("activate").about("Open a user's account again").arg(who()))
        .subcommand(Command::new("delete").about("Delete a user for good, and end their sessions").arg(who()))
}

fn sessions() -> Command {
    let end = Command::new("end")
        .about("End sessions: their tokens are refused from the next request on")
        .arg(Arg::new("all").long("all").action(ArgAction::SetTrue).help("Those of every user"))
        .arg(who().long("user").value_name("USER").required(false))
        .group(ArgGroup::new("whose").args(["all", "USER"]).required(true));
    Command::new("sessions").about("End sessions").subcommand_required(true).subcommand(end)
}

fn keys() -> Command {
    let settings = "Run it with the settings of the servers: how long keys stay in a state follows from \
                    POSTERN_KEYS_MAX_AGE, POSTERN_ACCESS_TTL and POSTERN_REFRESH_TTL";
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let emergency = Arg::new("emergency").long("emergency").action(ArgAction::SetTrue).requires("PURPOSE");
    let key = Arg::new("KEY").required(true).value_parser(parsed::<KeySelector>);
    let id = Arg::new("ID").required(true).value_parser(value_parser!(String)).help("As `keys list` shows it");
    Command::new("keys")
        .about("Make, show and rotate the keys that tokens are signed with, beside running servers or without")
        .subcommand_required(true)
        .subcommand(
            Command::new("generate")
                .about("Make the active keys that are missing; with PURPOSE, the next key of that purpose")
                .arg(purpose().help("Make a next key of this purpose: access, refresh or limiter")),
        )
        .subcommand(
            Command::new("list")
                .about("Show the keys: purpose, state and since when, id, and what may be done with them from when on")
                .after_help(settings)
                .arg(json),
        )
        .subcommand(
            Command::new("activate")
                .about("Have a next key sign, and the one that did so retire; refused before everybody knows the key")
                .after_help(settings)
                .arg(key.help("The id of a next key, or its purpose: access, refresh or limiter")),
        )
        .subcommand(
            Command::new("retire")
                .about("Drop a retiring key; refused before everything that it has signed has expired")
                .after_help(settings)
                .arg(id),
        )
        .subcommand(
            Command::new("rotate")
                .about(
                    "Take every step that is due: drop retiring keys, activate next ones, make those that come after",
                )
                .after_help(settings)
                .arg(purpose().help("Only the keys for this: access, refresh or limiter"))
                .arg(emergency.help("Replace every key of the purpose at once: what they have signed is refused")),
        )
}

fn audit() -> Command {
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let event = Arg::new("event").long("event").value_name("NAME").value_parser(parsed::<EventKind>);
    let since = Arg::new("since").long("since").value_name("TIME").value_parser(humantime::parse_duration);
    let limit = Arg::new("limit").long("limit").value_name("NUMBER").default_value(EVENTS);
    let limit = limit.value_parser(value_parser!(u32).range(1..=100_000));
    Command::new("audit").about("Show the audit trail").subcommand_required(true).subcommand(
        Command::new("list")
            .about("Show audit events, newest first")
            .arg(who().long("user").value_name("USER").required(false).id("user"))
            .arg(event.help("Only those of this kind, as in login_failed"))
            .arg(since.help("Only those that are younger than this, as in 24h"))
            .arg(limit.help("How many, 1 to 100000"))
            .arg(json),
    )
}

fn calibrate() -> Command {
    let limits = "It measures with as many hashes at once as a server makes (POSTERN_HASH_THREADS) and within the memory \
                  limit of its cgroup: run it where the server is to run, with nothing else to do there";
    let argument = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    Command::new("calibrate")
        .about("Measure what a password hash may cost here, and print the settings for it, never below OWASP's minimum")
        .after_help(limits)
        .arg(
            argument("target", "TIME")
                .default_value("250ms")
                .value_parser(target)
                .help("The longest time that a hash may take, 1ms to 1m"),
        )
        .arg(
            argument("memory", "SIZE")
                .value_parser(memory)
                .help("The most memory that a hash may have, 19MiB to 4GiB; without it, what the limit leaves"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

fn purpose() -> Arg {
    Arg::new("PURPOSE").value_parser(parsed::<Purpose>)
}

fn who() -> Arg {
    Arg::new("USER").required(true).value_parser(parsed::<UserRef>).help("Email or id")
}

fn name() -> Arg {
    Arg::new("NAME").required(true).value_name("NAME").value_parser(parsed::<Name>)
}

fn path(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).required(true).value_parser(value_parser!(std::path::PathBuf)).help(help)
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, T::Err> {
    text.parse()
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
        .hide_short_help(true)
        .help_heading("Settings")
        .help(format!("{} [{}] [default: {}]", setting.help(), setting.name, setting.default))
}

fn after_help() -> String {
    let secrets = SETTINGS.iter().filter(|setting| setting.is_secret);
    let lines: Vec<_> = secrets.map(|setting| format!("  {:<14} {}", setting.name, setting.help())).collect();
    format!(
        "Secrets, from the environment only:\n{}\n\n\
         Settings are shown by `--help`, not by `-h`.\n\n\
         Exit codes: 0 done, 1 failed or forced to stop, 64 wrong settings or arguments.",
        lines.join("\n")
    )
}
