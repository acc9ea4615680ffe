//! The life of the process: arguments, settings, log, stores, accounts, service, exit code.

use std::{io::Write as _, net::SocketAddr, path::Path, process::ExitCode, sync::Arc, time::Duration};

use postern::{
    accounts::{Accounts, Administration},
    cli::{self, Task, UserTask},
    clock::{Clock, SystemClock},
    config::{self, Config, Mistake, SETTINGS, Setting, Stores, UsersConfig, UsersStore, Values},
    http::{Readiness, Service, Vouching, routes},
    metrics::Metrics,
    operators::Operators,
    passwords::{Hasher, Policy},
    server::{self, ConnectionLimits},
    store::{
        Sessions, Users, counted_sessions, counted_users,
        embedded::{DataDirectory, EmbeddedStore, OpenError, ServerLock},
        postgres::{self, PostgresUsers, SchemaError},
        redis::RedisSessions,
    },
    telemetry,
    tokens::{AccessFormat, AccessTokens, Keys, RefreshTokens, keyring},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{info, warn};

/// Wrong settings or arguments (`EX_USAGE` of sysexits.h).
const WRONG_SETTINGS: u8 = 64;

/// Why the process ends before its time.
enum Failure {
    Settings(Vec<Mistake>),
    Other(Box<dyn std::error::Error>),
}

impl<E: Into<Box<dyn std::error::Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

fn main() -> ExitCode {
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(WRONG_SETTINGS) } else { ExitCode::SUCCESS };
        }
    };
    match run(invocation.task, &invocation.values) {
        Ok(code) => code,
        Err(Failure::Settings(mistakes)) => {
            for mistake in mistakes {
                eprintln!("postern: {mistake}");
            }
            ExitCode::from(WRONG_SETTINGS)
        }
        Err(Failure::Other(error)) => {
            eprintln!("postern: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task, values: &Values) -> Result<ExitCode, Failure> {
    match task {
        Task::Serve { migrate } => {
            let config = Config::for_serve(values).map_err(Failure::Settings)?;
            telemetry::start(config.log, config.log_format);
            run_async(async {
                if migrate && let Stores::PostgresRedis(database, _) = &config.stores {
                    postgres::migrate(database).await?;
                }
                serve(config).await
            })
        }
        Task::Migrate => {
            let url = config::for_migrate(values).map_err(Failure::Settings)?;
            let applied = run_async(async { Ok(postgres::migrate(&url).await?) })?;
            print(&format!("PostgreSQL is up to date: {applied} migrations applied"))
        }
        Task::Users(task) => print(&perform(task, &config::for_users(values).map_err(Failure::Settings)?)?),
        Task::BackUp(target) => {
            let config = config::for_backup(values).map_err(Failure::Settings)?;
            DataDirectory::existing(&config.data_dir)?.back_up(&target)?;
            print(&format!("{}: the embedded store; the keys are in {}", target.display(), config.keys_dir.display()))
        }
        Task::Calibrate(task) => {
            let config = config::for_calibration(values).map_err(Failure::Settings)?;
            let done = task.perform(&config).map_err(|mistake| Failure::Settings(vec![mistake]))?;
            let printed = print(&done.text)?;
            done.fault.map_or(Ok(printed), |fault| Err(Failure::from(fault)))
        }
        Task::Completions(shell) => print(cli::completions(shell).trim_end()),
        Task::Manual(directory) => {
            cli::write_manual(&directory)?;
            print(&format!("{0}: the manual; to read it: man -M {0} postern", directory.display()))
        }
        Task::Keys(task) => {
            let config = config::for_keys(values).map_err(Failure::Settings)?;
            let done = task.perform(&config, SystemClock.now())?;
            let printed = print(&done.text)?;
            done.fault.map_or(Ok(printed), |fault| Err(Failure::from(format!("no server can use these keys: {fault}"))))
        }
        Task::ShowConfig => {
            let line = |setting: &Setting| {
                let (value, source) = values.shown(setting);
                format!("{:<28} {source:<12} {value}", setting.name)
            };
            let printed = print(&SETTINGS.iter().map(line).collect::<Vec<_>>().join("\n"))?;
            Config::for_serve(values).map(|_| printed).map_err(Failure::Settings)
        }
    }
}

/// Runs a task to its end, and then waits for nothing that it has left behind: a look-up of a host name, say.
fn run_async<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(task);
    runtime.shutdown_background();
    outcome
}

/// Prints to standard output. Whoever reads that may have gone away: what was asked for is done all the same.
fn print(text: &str) -> Result<ExitCode, Failure> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Serves until a signal, drains, and says how it ended.
async fn serve(config: Config) -> Result<ExitCode, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let formats: Vec<_> = AccessFormat::ALL.iter().map(ToString::to_string).collect();
    let metrics = Arc::new(Metrics::new(&formats.join(",")));
    // First what may be wrong with files: nothing is opened for a server that will not start.
    let vouching = Arc::new(vouching(&config, &clock)?);
    let data = lock_data(&config, &clock)?;
    let keys = open_keys(&config.keys_dir, &metrics)?;
    let opened = open_stores(&config, data, &clock, &metrics).await?;
    let accounts = Arc::new(accounts(&config, &opened, keys, (clock, metrics))?);
    let readiness = Arc::new(Readiness::default());
    let listener = bind(config.listen).await?;
    let ops_listener = bind(config.ops_listen).await?;
    // Before anybody is told that we listen: a signal must not be missed.
    let mut signals = Signals::new()?;
    announce(&config, &listener, &ops_listener)?;

    tokio::spawn({
        let (readiness, accounts) = (Arc::clone(&readiness), Arc::clone(&accounts));
        async move { readiness.meet_stores(&accounts, config.limits.store).await }
    });
    let limits = ConnectionLimits {
        connections: config.max_connections,
        request: config.limits.request,
        age: config.max_connection_age,
    };
    let start = |listener, router| {
        let service = Service::new(router, Arc::clone(&accounts), Arc::clone(&readiness), config.limits)
            .with_vouching(Arc::clone(&vouching));
        let (stop, stopped) = watch::channel(false);
        (stop, tokio::spawn(server::serve(listener, Arc::new(service), limits, stopped)))
    };
    let (stop, public) = start(listener, routes::public());
    // Probes are answered to the end: it is not told to stop.
    let (_go_on, operations) = start(ops_listener, routes::operations());

    // Outside the macro, which looks at its fields only where the line is logged.
    let signal = signals.next().await;
    info!(signal, "stopping");
    readiness.drain();
    let drain = async {
        sleep(config.drain_delay).await;
        stop.send_replace(true);
        timeout(config.shutdown_grace, public).await.is_ok_and(|ended| ended.is_ok())
    };
    let drained = tokio::select! {
        drained = drain => drained,
        signal = second_signal() => {
            warn!(signal, "stopping at once");
            false
        }
    };
    operations.abort();
    info!(drained, "stopped");
    Ok(if drained { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The stores, by what they can do.
struct OpenStores {
    users: Arc<dyn Users>,
    sessions: Arc<dyn Sessions>,
    /// Held as long as the embedded store is.
    _lock: Option<ServerLock>,
}

/// The data directory of the embedded store, for this server alone, with keys beside it.
fn lock_data(config: &Config, clock: &Arc<dyn Clock>) -> Result<Option<(DataDirectory, ServerLock)>, Failure> {
    if !matches!(config.stores, Stores::Embedded) {
        return Ok(None);
    }
    let directory = DataDirectory::open(&config.data_dir)?;
    let lock = directory.lock()?;
    make_first_keys(&directory, &config.keys_dir, clock)?;
    Ok(Some((directory, lock)))
}

async fn open_stores(
    config: &Config,
    data: Option<(DataDirectory, ServerLock)>,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<OpenStores, Failure> {
    match (&config.stores, data) {
        (Stores::Embedded, None) => unreachable!("the data directory of an embedded store has been locked"),
        (Stores::Embedded, Some((directory, lock))) => {
            let store = Arc::new(directory.store(&lock, Arc::clone(clock))?);
            Ok(OpenStores { users: store.clone(), sessions: store, _lock: Some(lock) })
        }
        (Stores::PostgresRedis(database, redis), _) => {
            match postgres::check_schema(database).await {
                // Not ready, but nothing that a restart would mend: each connection checks the schema when it is made.
                Err(error @ (SchemaError::Unreachable(_) | SchemaError::Silent)) => warn!(%error, "not ready yet"),
                checked => checked?,
            }
            let users = Arc::new(PostgresUsers::new(database)?);
            let sessions = Arc::new(RedisSessions::new(redis, Arc::clone(clock))?);
            let (watched_users, watched_sessions) = (Arc::clone(&users), Arc::clone(&sessions));
            metrics.watch_pool("PostgreSQL", move || watched_users.pool_use());
            metrics.watch_pool("Redis", move || watched_sessions.pool_use());
            Ok(OpenStores { users, sessions, _lock: None })
        }
    }
}

/// Keys for a data directory in which nothing has been kept yet. Keys that are missing later have been lost, and new ones
/// would end every session.
fn make_first_keys(directory: &DataDirectory, keys_dir: &Path, clock: &Arc<dyn Clock>) -> Result<(), Failure> {
    if directory.is_new() {
        keyring::generate(keys_dir, clock.now())?;
    }
    Ok(())
}

/// Does something about users, and returns what to print.
fn perform(task: UserTask, config: &UsersConfig) -> Result<String, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    run_async(async {
        // An interrupt that ended the process at the prompt would leave the terminal without echo.
        let mut interrupts = signal(SignalKind::interrupt())?;
        // Before the store is opened: people take their time, and a restore may come in between.
        let password = task.asks_for_password().then(cli::password::ask).transpose()?;
        let users: Arc<dyn Users> = match &config.store {
            UsersStore::Embedded(embedded) => {
                // A first user may come before the first server; whoever looks for one in the wrong place makes nothing.
                let open = if task.makes_first_user() { DataDirectory::open } else { DataDirectory::existing };
                Arc::new(open_beside(&open(&embedded.data_dir)?, &embedded.keys_dir, &clock)?)
            }
            UsersStore::Postgres(database) => {
                postgres::check_schema(database).await?;
                Arc::new(PostgresUsers::new(database)?)
            }
        };
        let administration = Administration {
            users,
            hasher: Hasher::start(config.hashing, Metrics::new("").hashing)?,
            policy: Policy { min_code_points: config.password_min_length },
            clock,
        };
        tokio::select! {
            done = task.perform(&administration, password) => Ok(done?),
            _ = interrupts.recv() => Err("interrupted: whether it was done is not known".into()),
        }
    })
}

/// The embedded store for a command, beside the server that may be running.
fn open_beside(directory: &DataDirectory, keys_dir: &Path, clock: &Arc<dyn Clock>) -> Result<EmbeddedStore, Failure> {
    match directory.lock() {
        Ok(lock) => {
            make_first_keys(directory, keys_dir, clock)?;
            Ok(directory.store(&lock, Arc::clone(clock))?)
        }
        Err(OpenError::Locked(_)) => Ok(directory.store_beside_server(Arc::clone(clock))?),
        Err(error) => Err(error.into()),
    }
}

fn accounts(
    config: &Config,
    stores: &OpenStores,
    keys: Arc<Keys>,
    (clock, metrics): (Arc<dyn Clock>, Arc<Metrics>),
) -> Result<Accounts, Failure> {
    let access_tokens =
        AccessTokens::new(Arc::clone(&keys), config.access_format, config.issuer.clone(), config.audience.clone());
    Ok(Accounts {
        users: counted_users(Arc::clone(&stores.users), metrics.store_calls.clone()),
        sessions: counted_sessions(Arc::clone(&stores.sessions), metrics.store_calls.clone()),
        hasher: Hasher::start(config.hashing, metrics.hashing.clone())?,
        policy: Policy { min_code_points: config.password_min_length },
        access_tokens: access_tokens.map_err(|error| {
            Failure::Settings(vec![Mistake { name: "POSTERN_ISSUER, POSTERN_AUDIENCE", sentence: error.to_string() }])
        })?,
        refresh_tokens: RefreshTokens::new(keys),
        clock,
        lifetimes: config.lifetimes,
        max_sessions: config.max_sessions,
        rotates: config.refresh_rotation,
        metrics,
    })
}

fn vouching(config: &Config, clock: &Arc<dyn Clock>) -> Result<Vouching, Failure> {
    let operators = match &config.api_keys_file {
        Some(file) => Operators::of_file(file.clone(), Arc::clone(clock))?,
        None => Operators::nobody(Arc::clone(clock)),
    };
    Ok(Vouching { operators, without_sessions: config.verify_degraded })
}

/// The keys, which the process follows from now on as they change.
fn open_keys(directory: &Path, metrics: &Metrics) -> Result<Arc<Keys>, Failure> {
    let keys = Arc::new(Keys::open(directory)?);
    if keys.current().limiting().next().is_none() {
        warn!("there is no limiter key: once every replica has this version, `postern keys generate` makes it");
    }
    let watched = Arc::clone(&keys);
    metrics.watch_keys(move || watched.is_readable());
    tokio::spawn(Arc::clone(&keys).follow());
    Ok(keys)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| Failure::from(format!("cannot listen on {address}: {error}")))
}

/// The one line on standard output: where we listen, and where the data is.
fn announce(config: &Config, public: &TcpListener, operations: &TcpListener) -> std::io::Result<()> {
    let (public, operations) = (public.local_addr()?, operations.local_addr()?);
    let data = match &config.stores {
        Stores::Embedded => format!("embedded store in {}", absolute(&config.data_dir)),
        Stores::PostgresRedis(database, redis) => format!("users in {database}, sessions in {redis}"),
    };
    writeln!(std::io::stdout(), "Postern listens on http://{public} (operations on {operations}), {data}")
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// A signal that is not the first one's echo: `timeout`, for one, signals a process and then its group.
async fn second_signal() -> &'static str {
    const ECHO: Duration = Duration::from_millis(100);
    sleep(ECHO).await;
    match Signals::new() {
        Ok(mut signals) => signals.next().await,
        Err(_) => std::future::pending().await,
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
