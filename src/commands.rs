//! The commands that run once.

use std::{
    io::{self, IsTerminal as _},
    path::Path,
    process,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use postern::{
    accounts::{AdminCall, UserAdmin},
    audit::Trail,
    cli::{
        self, AuditCommand, CalibrateCommand, ImportCommand, KeysCommand, OutputReader, Report, UserCommand, UserExport,
    },
    clock::{Clock, SystemClock},
    config::{self, Config, ConfigError, HealthConfig, SETTINGS, Setting, UsersConfig, UsersStore, Values},
    http::health_check,
    import::{IdMap, ImportRun, ImportSummary, Insertion, Mapping, Report as ImportReport},
    logging::{finish, print_error},
    metrics::Metrics,
    model::{AuditOrigin, AuditSubject, EventKind, escape_invisible},
    passwords::{Hasher, Password, Policy, WorkPermit},
    store::{
        AuditReader, AuditStore, TimeBudget, UserAdminStore, UserDirectory, UserImport, UserStore,
        postgres::{self, PostgresStore, PostgresUserImport},
        sqlite::{DataDirError, DataDirectory, SqliteStore, SqliteUserImport},
    },
};
use rustix::process::getuid;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
};

use crate::{app::generate_first_keys, exit::ExitError, runtime::run_async, signals::Signals, standard_output};

/// The time limit of PostgreSQL for a statement of a command.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(1);

/// The exit code of a command that is interrupted while it prints: that of a failure.
const INTERRUPTED: i32 = 1;

/// The capacity of the audit queue: more events than a command records.
const MAX_EVENTS: usize = 16;

/// The text to print, and an error to report after it.
pub struct Output {
    pub text: String,
    pub error: Option<ExitError>,
}

impl From<String> for Output {
    fn from(text: String) -> Self {
        Self { text, error: None }
    }
}

impl From<Report> for Output {
    fn from(Report { text, fault }: Report) -> Self {
        Self { text, error: fault.map(ExitError::from) }
    }
}

pub fn migrate(values: &Values) -> Result<Output, ExitError> {
    let url = config::for_migrate(values).map_err(ExitError::Settings)?;
    let applied = run_async(async { Ok(postgres::migrate(&url).await?) })?;
    Ok(format!("PostgreSQL is up to date: {applied} migrations applied").into())
}

pub fn back_up(target: &Path, values: &Values) -> Result<Output, ExitError> {
    let config = config::for_backup(values).map_err(ExitError::Settings)?;
    DataDirectory::existing(&config.data_dir)?.back_up(target)?;
    let (target, keys) = (target.display(), config.keys_dir.display());
    Ok(format!("{target}: backup of the embedded store, without the keys; the keys are in {keys}").into())
}

pub fn calibrate(command: &CalibrateCommand, values: &Values) -> Result<Output, ExitError> {
    let config = config::for_calibration(values).map_err(ExitError::Settings)?;
    let report = command.run(&config).map_err(|error| ExitError::Settings(vec![error]))?;
    Ok(report.into())
}

pub fn keys(command: &KeysCommand, values: &Values) -> Result<Output, ExitError> {
    let config = config::for_keys(values).map_err(ExitError::Settings)?;
    Ok(command.run(&config, SystemClock.now())?.into())
}

pub fn write_manual(directory: &Path) -> Result<Output, ExitError> {
    cli::write_manual(directory)?;
    Ok(format!("{0}: manual pages; read them with: man -M {0} postern", directory.display()).into())
}

/// Asks the server on this host whether it is ready.
pub fn health(values: &Values) -> Result<Output, ExitError> {
    let HealthConfig { addresses, limit } = config::for_health(values).map_err(ExitError::Settings)?;
    Ok(run_async(async { Ok(health_check::check(&addresses, limit).await?) })?.into())
}

/// Returns a row for each setting, and the errors of `serve`.
pub fn show_config(values: &Values) -> Output {
    let row = |setting: &Setting| {
        let (value, source) = values.display(setting);
        format!("{:<28} {source:<12} {}", setting.name, escape_invisible(value))
    };
    let text = SETTINGS.iter().map(row).collect::<Vec<_>>().join("\n");
    Output { text, error: Config::for_serve(values).err().map(ExitError::Settings) }
}

pub fn users(command: UserCommand, values: &Values) -> Result<Output, ExitError> {
    let config = config::for_users(values).map_err(ExitError::Settings)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    run_async(async {
        // Handled, because an interrupt that ended the process at the prompt would leave the terminal without echo.
        let mut interrupts = signal(SignalKind::interrupt())?;
        // Before the store is opened, because a restore may happen while a person types.
        let password = if command.asks_for_password() { Some(ask_password(&mut interrupts).await?) } else { None };
        // The first user may be created before the first server runs. Other commands create no store.
        let open = if command.creates_user() { DataDirectory::open } else { DataDirectory::existing };
        let CommandStores { users, directory, changes, audit_reader, .. } =
            or_interrupt(&mut interrupts, open_users(&config, open, &clock)).await?;
        let metrics = Metrics::new("");
        // Nothing is queued: each change inserts its event itself.
        let (audit, _) = Trail::new(Arc::clone(&clock), metrics.audit, MAX_EVENTS);
        let user_admin = UserAdmin {
            users,
            directory,
            changes,
            events: audit_reader,
            sessions: None,
            hasher: Arc::new(Hasher::start(config.hashing, metrics.hashing)?),
            policy: Policy { min_code_points: config.password_min_length },
            clock,
            audit,
        };
        let origin = AuditOrigin::command_line(getuid().as_raw());
        let time = TimeBudget::new(command.store_timeout());
        let call = AdminCall::of_administrator(origin, WorkPermit::for_command_line(), &time);
        let outcome = tokio::select! {
            outcome = command.run(&user_admin, password, &call) => outcome.map_err(ExitError::from),
            _ = interrupts.recv() => Err("interrupted: the outcome is unknown".into()),
        };
        // The command is done, and its output may have no reader.
        tokio::spawn(async move {
            interrupts.recv().await;
            finish();
            process::exit(INTERRUPTED);
        });
        Ok(outcome?.into())
    })
}

/// Waits for a step before the command, at most until an interrupt. A thread that the step blocks does not keep the process
/// alive.
async fn or_interrupt<T>(
    interrupts: &mut Signal,
    step: impl Future<Output = Result<T, ExitError>>,
) -> Result<T, ExitError> {
    tokio::select! {
        biased;
        _ = interrupts.recv() => Err("interrupted: no user was changed".into()),
        done = step => done,
    }
}

/// Asks for a new password. At a terminal, the prompt itself ends at Ctrl-C, and restores the echo.
async fn ask_password(interrupts: &mut Signal) -> Result<Password, ExitError> {
    let answer = async { Ok(spawn_blocking(cli::password::ask).await??) };
    if io::stdin().is_terminal() { answer.await } else { or_interrupt(interrupts, answer).await }
}

/// Writes all users to standard output. The audit trail has an event at the beginning, without which nothing is written, and
/// one at the end, unless the process is killed.
pub fn export_users(export: UserExport, values: &Values) -> Result<(), ExitError> {
    let config = config::for_users(values).map_err(ExitError::Settings)?;
    if export.with_hashes && standard_output::is_terminal() {
        return Err(
            "standard output is a terminal, which keeps what it shows: expected a file or a pipe for hashes".into()
        );
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    run_async(async {
        let mut signals = Signals::new()?;
        let CommandStores { users, events, .. } = tokio::select! {
            opened = open_users(&config, DataDirectory::existing, &clock) => opened?,
            signal = signals.next() => return Err(format!("stopped by {signal}: no user was exported").into()),
        };
        let hashes = if export.with_hashes { "with password hashes" } else { "without password hashes" };
        let record = async |detail| record_event(&*events, &clock, EventKind::AdminUsersExported, detail).await;
        record(format!("started, {hashes}")).await?;
        let begun = AtomicU64::new(0);
        let write = async |text: Vec<u8>| spawn_blocking(move || standard_output::write(&text)).await?;
        let outcome = tokio::select! {
            outcome = export.run(&*users, &begun, write) => outcome.map_err(|error| error.to_string()),
            signal = signals.next() => Err(format!("stopped by {signal}")),
        };
        let users = begun.into_inner();
        let end = match &outcome {
            Ok(OutputReader::Open) => format!("complete, users: {users}"),
            Ok(OutputReader::Gone) | Err(_) => format!("incomplete, at most {users} users"),
        };
        if let Err(error) = record(format!("{end}, {hashes}")).await {
            print_error(&error);
        }
        outcome
            .map(drop)
            .map_err(|error| format!("the output is incomplete, with at most {users} users: {error}").into())
    })
}

/// Writes an audit event of this command to the table.
async fn record_event(
    events: &dyn AuditStore,
    clock: &Arc<dyn Clock>,
    kind: EventKind,
    detail: String,
) -> Result<(), String> {
    let (audit, queue) = Trail::new(Arc::clone(clock), Metrics::new("").audit, MAX_EVENTS);
    let origin = AuditOrigin::command_line(getuid().as_raw());
    audit.record(kind, AuditSubject::default().with_detail(detail), origin);
    let written = queue.write(events).await;
    written.map(drop).map_err(|error| format!("failed to write the audit event of this command: {error}"))
}

pub fn audit(command: &AuditCommand, values: &Values) -> Result<Output, ExitError> {
    let config = config::for_users(values).map_err(ExitError::Settings)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    run_async(async {
        let CommandStores { users, audit_reader, .. } = open_users(&config, DataDirectory::existing, &clock).await?;
        Ok(command.run(&*users, &*audit_reader, clock.now()).await?.into())
    })
}

pub fn import(command: &ImportCommand, values: &Values) -> Result<Output, ExitError> {
    let config = config::for_users(values).map_err(ExitError::Settings)?;
    let source = command.source().map_err(|error| {
        let invalid = ConfigError { name: "--from", message: error.to_string() };
        if error.is_invalid_source() { ExitError::Settings(vec![invalid]) } else { error.into() }
    })?;
    if let Some([name, other]) = command.overwritten(&source) {
        let message = format!("names the same file as {other}: expected another file");
        return Err(ExitError::Settings(vec![ConfigError { name, message }]));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    run_async(async {
        let started = Instant::now();
        let mut signals = Signals::new()?;
        let open = async {
            let (store, events) = open_import(&config, command.insert, &clock).await?;
            Ok::<_, ExitError>((store, events, source.open(&command.columns).await?))
        };
        let (mut store, events, source) = tokio::select! {
            opened = open => opened?,
            signal = signals.next() => return Err(format!("stopped by {signal}: no user was imported").into()),
        };
        let run = ImportRun {
            mapping: Mapping { staff_as: command.staff_as, now: clock.now() },
            store: &mut *store,
            report: ImportReport::create(&command.report)?,
            map: command.map.as_deref().map(IdMap::create).transpose()?,
            insert: command.insert,
            source,
        };
        let kind = run.source.kind;
        let record = async |detail| match &events {
            Some(events) => record_event(&**events, &clock, EventKind::AdminUsersImported, detail).await,
            None => Ok(()),
        };
        record(format!("started, from {kind}")).await?;
        let mut summary = ImportSummary::default();
        let outcome = tokio::select! {
            outcome = run.run(&mut summary) => outcome.map_err(ExitError::from),
            signal = signals.next() => Err(format!("stopped by {signal}: run the command again to import the rest").into()),
        };
        let end = if outcome.is_ok() { "complete" } else { "incomplete" };
        let ImportSummary { read, imported, already_imported, refused, .. } = summary;
        let numbers =
            format!("read {read}, imported {imported}, already imported {already_imported}, refused {refused}");
        if let Err(error) = record(format!("{end}, from {kind}: {numbers}")).await {
            print_error(&error);
        }
        outcome?;
        Ok(command.render(&summary, started.elapsed()).into())
    })
}

/// Opens the store for an import, and the store of its audit event, which a dry run does not have.
async fn open_import(
    config: &UsersConfig,
    insert: Insertion,
    clock: &Arc<dyn Clock>,
) -> Result<(Box<dyn UserImport>, Option<Arc<dyn AuditStore>>), ExitError> {
    let is_real = insert == Insertion::Real;
    let busy = || ExitError::from("another import is running: expected one at a time");
    match &config.store {
        UsersStore::Embedded(embedded) => {
            let (embedded, clock) = (embedded.clone(), Arc::clone(clock));
            let opened = spawn_blocking(move || {
                let directory = match DataDirectory::existing(&embedded.data_dir) {
                    // As for the first user, a store is created; but not for a dry run.
                    Err(DataDirError::NoStore(_)) if is_real => DataDirectory::open(&embedded.data_dir)?,
                    Err(DataDirError::NoStore(_)) => return Ok((Some(SqliteUserImport::in_memory()?), None)),
                    existing => existing?,
                };
                let store = open_embedded(&directory, &embedded.keys_dir, &clock)?;
                Ok::<_, ExitError>((store.user_import()?, Some(store)))
            });
            let (import, store) = opened.await??;
            let events = store.filter(|_| is_real).map(|store| Arc::new(store) as Arc<dyn AuditStore>);
            Ok((Box::new(import.ok_or_else(busy)?), events))
        }
        UsersStore::Postgres(database) => {
            let import = PostgresUserImport::open(database).await?.ok_or_else(busy)?;
            let events = Arc::new(PostgresStore::new(database, COMMAND_TIMEOUT)?);
            Ok((Box::new(import), is_real.then_some(events as Arc<dyn AuditStore>)))
        }
    }
}

type OpenDirectory = fn(&Path) -> Result<DataDirectory, DataDirError>;

/// The contracts of the store of users.
struct CommandStores {
    users: Arc<dyn UserStore>,
    directory: Arc<dyn UserDirectory>,
    changes: Arc<dyn UserAdminStore>,
    events: Arc<dyn AuditStore>,
    audit_reader: Arc<dyn AuditReader>,
}

impl CommandStores {
    fn of<S: UserStore + UserDirectory + UserAdminStore + AuditStore + AuditReader + 'static>(store: S) -> Self {
        let store = Arc::new(store);
        Self {
            users: store.clone(),
            directory: store.clone(),
            changes: store.clone(),
            events: store.clone(),
            audit_reader: store,
        }
    }
}

/// Opens the store of users.
async fn open_users(
    config: &UsersConfig,
    open: OpenDirectory,
    clock: &Arc<dyn Clock>,
) -> Result<CommandStores, ExitError> {
    match &config.store {
        UsersStore::Embedded(embedded) => {
            let (embedded, clock) = (embedded.clone(), Arc::clone(clock));
            // Blocks while another process has locked a directory.
            let opened = spawn_blocking(move || open_embedded(&open(&embedded.data_dir)?, &embedded.keys_dir, &clock));
            Ok(CommandStores::of(opened.await??))
        }
        UsersStore::Postgres(database) => {
            postgres::check_schema(database).await?;
            Ok(CommandStores::of(PostgresStore::new(database, COMMAND_TIMEOUT)?))
        }
    }
}

/// Opens the embedded store, also while a server uses it.
fn open_embedded(directory: &DataDirectory, keys_dir: &Path, clock: &Arc<dyn Clock>) -> Result<SqliteStore, ExitError> {
    match directory.lock() {
        Ok(lock) => {
            generate_first_keys(directory, keys_dir, clock)?;
            Ok(directory.store(&lock, Arc::clone(clock))?)
        }
        Err(DataDirError::Locked(_)) => Ok(directory.store_beside_server(Arc::clone(clock))?),
        Err(error) => Err(error.into()),
    }
}
