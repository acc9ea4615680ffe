//! The command that imports users.

use std::{
    convert::Infallible,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde::Serialize;
use zeroize::Zeroizing;

use super::output::{Format, json};
use crate::{
    import::{ColumnOptions, ImportError, ImportSummary, Insertion, Source},
    model::Role,
    os::{private_files::ReplacedFile, same_file::is_same_file},
};

/// The default file of the report.
const REPORT: &str = "import-rejects.csv";

/// The command `import django`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportCommand {
    /// The source.
    pub from: FromArgument,
    /// The trusted authorities of TLS to the source.
    pub from_ca: Option<PathBuf>,
    /// The table and its columns.
    pub columns: ColumnOptions,
    /// The role of staff members.
    pub staff_as: Role,
    /// Whether users are inserted.
    pub insert: Insertion,
    /// The file for the map of ids.
    pub map: Option<PathBuf>,
    /// The file for the report.
    pub report: PathBuf,
    /// The format of the output.
    pub format: Format,
}

/// The argument `--from`, or the file of `--from-file`.
#[derive(Clone, PartialEq, Eq)]
pub enum FromArgument {
    /// A path, or a URL that may contain a password.
    Text(Zeroizing<String>),
    /// A file that contains a URL.
    UrlFile(PathBuf),
}

impl fmt::Debug for FromArgument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => formatter.write_str("Text(..)"),
            Self::UrlFile(path) => write!(formatter, "UrlFile({})", path.display()),
        }
    }
}

impl FromStr for FromArgument {
    type Err = Infallible;

    /// Accepts any text: an error of clap would repeat it.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::Text(Zeroizing::new(text.to_owned())))
    }
}

/// Returns the definition of the command.
pub(super) fn import() -> Command {
    Command::new("import").about("Import the users of another program").subcommand_required(true).subcommand(django())
}

fn django() -> Command {
    let option = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    let file = |name: &'static str| option(name, "FILE").value_parser(value_parser!(PathBuf));
    Command::new("django")
        .about("Import the users of Django with their passwords, also beside running servers")
        .after_help(
            "Existing accounts are never changed, so an import can be interrupted and run again. Rows that cannot be taken are \
             listed in the file of --rejects and stop nothing else; the exit code is 0 then, too",
        )
        .arg(
            option("from", "SOURCE")
                .value_parser(value_parser!(FromArgument))
                .required_unless_present("from-file")
                .help("postgres://… (other users of this machine can see its password), the output of dumpdata, or a CSV file"),
        )
        .arg(file("from-file").conflicts_with("from").help("A private file that contains the URL of the database"))
        .arg(file("from-ca").help("PEM file with the CAs that the certificate of the database may be of; by default those of the system"))
        .arg(option("table", "TABLE").help("The table, or the model in a dump; by default the only one with passwords and emails"))
        .arg(option("id-column", "COLUMN").help("The column of the id; by default the primary key, or id"))
        .arg(option("email-column", "COLUMN").help("The column of the email; by default email"))
        .arg(option("name-column", "COLUMNS").help("The column of the name, or several as in first_name+last_name"))
        .arg(option("verified-column", "COLUMN").help("The column that is true if the email is verified"))
        .arg(option("joined-column", "COLUMN").help("The column of the time of the sign-up; by default date_joined or the like"))
        .arg(
            option("staff-as", "ROLE")
                .value_parser(["member", "administrator"])
                .default_value("member")
                .help("The role of staff members; superusers become administrators"),
        )
        .arg(Arg::new("dry-run").long("dry-run").action(ArgAction::SetTrue).help("Only check the rows and list the rejects"))
        .arg(file("map").conflicts_with("dry-run").help("Write the old and the new id of each imported user to this CSV file"))
        .arg(file("rejects").default_value(REPORT).help("Write the refused and the changed users to this CSV file"))
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

impl ImportCommand {
    /// Returns the command of these arguments.
    pub(super) fn of(import: &ArgMatches) -> Self {
        let Some(("django", django)) = import.subcommand() else { unreachable!("clap requires a subcommand") };
        let text = |name: &str| django.get_one::<String>(name).cloned();
        let path = |name: &str| django.get_one::<PathBuf>(name).cloned();
        let from = django.get_one::<FromArgument>("from").cloned();
        let from = from.or_else(|| path("from-file").map(FromArgument::UrlFile));
        Self {
            from: from.unwrap_or_else(|| unreachable!("clap requires a source")),
            from_ca: path("from-ca"),
            columns: ColumnOptions {
                table: text("table"),
                id: text("id-column"),
                email: text("email-column"),
                name: text("name-column"),
                verified: text("verified-column"),
                joined: text("joined-column"),
            },
            staff_as: match text("staff-as").as_deref() {
                Some("administrator") => Role::Administrator,
                _ => Role::Member,
            },
            insert: if django.get_flag("dry-run") { Insertion::DryRun } else { Insertion::Real },
            map: path("map"),
            report: path("rejects").unwrap_or_else(|| REPORT.into()),
            format: Format::of(django),
        }
    }

    /// Returns the source.
    ///
    /// # Errors
    /// Returns [`ImportError`] if an argument or its file has no valid source, or no certificates.
    pub fn source(&self) -> Result<Source, ImportError> {
        let source = match &self.from {
            FromArgument::Text(text) => Source::parse(text),
            FromArgument::UrlFile(path) => Source::of_url_file(path),
        };
        source?.trusting(self.from_ca.as_deref())
    }

    /// Returns the option of a file to write, and what else names the same file, if any: the import would destroy it.
    #[must_use]
    pub fn overwritten(&self, source: &Source) -> Option<[&'static str; 2]> {
        let source = match source {
            Source::File(path) => Some(path.as_path()),
            Source::Postgres(_) => None,
        };
        let url = match &self.from {
            FromArgument::UrlFile(path) => Some(path.as_path()),
            FromArgument::Text(_) => None,
        };
        let temporary = self.map.as_deref().map(ReplacedFile::temporary_path);
        let inputs = [("--from", source), ("--from-file", url), ("--from-ca", self.from_ca.as_deref())];
        let outputs = [
            ("--rejects", Some(self.report.as_path())),
            ("--map", self.map.as_deref()),
            ("the temporary file of --map (its name with .new)", temporary.as_deref()),
        ];
        let existing = |files: &[(&'static str, Option<&'_ Path>)]| -> Vec<_> {
            files.iter().filter_map(|(name, path)| Some((*name, path.map(Path::to_owned)?))).collect()
        };
        let (inputs, outputs) = (existing(&inputs), existing(&outputs));
        outputs.iter().enumerate().find_map(|(index, (written, path))| {
            let mut others = inputs.iter().chain(&outputs[..index]);
            others.find(|(_, other)| is_same_file(path, other)).map(|(other, _)| [*written, *other])
        })
    }

    /// Returns the text to print after the import.
    #[must_use]
    pub fn render(&self, summary: &ImportSummary, elapsed: Duration) -> String {
        let is_dry_run = self.insert == Insertion::DryRun;
        let seconds = (elapsed.as_secs_f64() * 10.0).round() / 10.0;
        if self.format == Format::Json {
            return json(&ImportView { summary, dry_run: is_dry_run, seconds });
        }
        let ImportSummary { read, imported, already_imported, without_password, noted, refused } = summary;
        let imported_label = if is_dry_run { "to import" } else { "imported" };
        let list = if noted + refused > 0 { format!("\nsee {}", self.report.display()) } else { String::new() };
        format!(
            "{:<18} {read}\n{imported_label:<18} {imported}, {without_password} of them without a password\n{:<18} \
             {already_imported}\n{:<18} {noted}\n{:<18} {refused}\n{:<18} {seconds}{list}",
            "read", "already imported", "noted", "refused", "seconds"
        )
    }
}

/// The outcome as JSON.
#[derive(Serialize)]
struct ImportView<'summary> {
    #[serde(flatten)]
    summary: &'summary ImportSummary,
    dry_run: bool,
    seconds: f64,
}
