//! The definition of the command line.

use clap::{Arg, ArgAction, ArgGroup, Command, value_parser};

use super::{
    arguments::{parsed, path, user_ref},
    calibrate::{parse_memory, parse_target},
    import::import,
    user_commands::user,
};
use crate::{
    config::{SETTINGS, Setting},
    keys::{KeySelector, Purpose},
    model::EventKind,
};

/// The default number of events of `audit list`.
const EVENTS: &str = "100";

/// Returns the definition of the command line.
#[must_use]
pub fn command() -> Command {
    Command::new("postern")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Keeps an application's user accounts: sign-up, login, refresh, logout, profile, password change")
        .after_help(after_help())
        .args(SETTINGS.iter().filter(|setting| !setting.is_secret).map(argument))
        .arg(migrate())
        .subcommand(Command::new("serve").about("Serve the API (the default)").arg(migrate()))
        .subcommand(Command::new("migrate").about("Migrate the PostgreSQL schema and exit"))
        .subcommand(user())
        .subcommand(sessions())
        .subcommand(import())
        .subcommand(keys())
        .subcommand(audit())
        .subcommand(calibrate())
        .subcommand(
            Command::new("backup")
                .about("Copy the embedded store, without the keys, into a new file, also while a server uses it")
                .arg(path("FILE", "The new file; to restore it, copy it over the file of the store")),
        )
        .subcommand(
            Command::new("health")
                .about("Ask the server on this host whether it is ready; the exit code is 0 if it is, otherwise 1")
                .after_help("The command requests /readyz on POSTERN_OPS_LISTEN; for a wildcard address, on the loopback address"),
        )
        .subcommand(Command::new("config").about("Print every setting, its value and its source"))
        .subcommand(
            Command::new("completions").about("Print the completion script of a shell").arg(
                Arg::new("SHELL").required(true).value_parser(value_parser!(clap_complete::Shell)).help("The shell"),
            ),
        )
        .subcommand(
            Command::new("manual")
                .about("Write a manual page for each command")
                .arg(path("DIRECTORY", "The directory of manuals, such as /usr/local/share/man")),
        )
}

fn sessions() -> Command {
    let end = Command::new("end")
        .about("End sessions; the next request with their tokens is rejected")
        .arg(Arg::new("all").long("all").action(ArgAction::SetTrue).help("The sessions of every user"))
        .arg(user_ref().long("user").value_name("USER").required(false))
        .group(ArgGroup::new("whose").args(["all", "USER"]).required(true));
    Command::new("sessions").about("End sessions").subcommand_required(true).subcommand(end)
}

fn keys() -> Command {
    let settings = "Run this command with the settings of the servers: POSTERN_KEYS_MAX_AGE, POSTERN_ACCESS_TTL and \
                    POSTERN_REFRESH_TTL determine how long a key stays in a state";
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let emergency = Arg::new("emergency").long("emergency").action(ArgAction::SetTrue).requires("PURPOSE");
    let key = Arg::new("KEY").required(true).value_parser(parsed::<KeySelector>);
    let id = Arg::new("ID").required(true).value_parser(parsed::<String>).help("The id, as in `keys list`");
    Command::new("keys")
        .about("Generate, list and rotate the keys of tokens and rate limits, with or without running servers")
        .subcommand_required(true)
        .subcommand(
            Command::new("generate")
                .about("Generate missing active keys; with PURPOSE, the next key of that purpose")
                .arg(purpose().help("The purpose of the next key: access, refresh or limiter")),
        )
        .subcommand(
            Command::new("list")
                .about("List the keys, their states and the earliest time of their next step")
                .after_help(settings)
                .arg(json),
        )
        .subcommand(
            Command::new("activate")
                .about("Activate a next key and retire the active one; fails until every server and cache knows the next key")
                .after_help(settings)
                .arg(key.help("The id or the purpose of a next key: access, refresh or limiter")),
        )
        .subcommand(
            Command::new("retire")
                .about("Delete a retiring key; fails until everything that the key has signed has expired")
                .after_help(settings)
                .arg(id),
        )
        .subcommand(
            Command::new("rotate")
                .about("Take every step that is due: delete retiring keys, activate next keys, generate new next keys")
                .after_help(settings)
                .arg(purpose().help("Only keys of this purpose: access, refresh or limiter"))
                .arg(emergency.help("Replace every key of the purpose immediately; everything that they have signed is rejected")),
        )
}

fn audit() -> Command {
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let event = Arg::new("event").long("event").value_name("NAME").value_parser(parsed::<EventKind>);
    let since = Arg::new("since").long("since").value_name("TIME").value_parser(humantime::parse_duration);
    let limit = Arg::new("limit").long("limit").value_name("NUMBER").default_value(EVENTS);
    let limit = limit.value_parser(value_parser!(u32).range(1..=100_000));
    Command::new("audit").about("Read the audit trail").subcommand_required(true).subcommand(
        Command::new("list")
            .about("List audit events, newest first")
            .arg(user_ref().long("user").value_name("USER").required(false).id("user"))
            .arg(event.help("Only events of this kind, such as login_failed"))
            .arg(since.help("Only events younger than this, such as 24h"))
            .arg(limit.help("Maximum number of events (1 to 100000)"))
            .arg(json),
    )
}

fn calibrate() -> Command {
    let limits = "The command hashes on POSTERN_HASH_THREADS threads, as a server does, and stays within the memory limit \
                  of its cgroup. Run it on the machine of the server while the machine is idle";
    let argument = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    Command::new("calibrate")
        .about("Measure password hashing on this machine and print settings for it, at least OWASP's minimum")
        .after_help(limits)
        .arg(
            argument("target", "TIME")
                .default_value("250ms")
                .value_parser(parse_target)
                .help("Maximum time of a hash (1ms to 1m)"),
        )
        .arg(
            argument("memory", "SIZE")
                .value_parser(parse_memory)
                .help("Maximum memory of a hash (19MiB to 4GiB); by default as much as the memory limit allows"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

fn purpose() -> Arg {
    Arg::new("PURPOSE").value_parser(parsed::<Purpose>)
}

fn migrate() -> Arg {
    Arg::new("migrate").long("migrate").action(ArgAction::SetTrue).help("Migrate the PostgreSQL schema before serving")
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
        "Secrets (environment only):\n{}\n\n\
         `--help` lists the settings, `-h` does not.\n\n\
         Exit codes: 0 done, 1 failed or forced to stop, 64 invalid settings or arguments.",
        lines.join("\n")
    )
}
