//! The life of the process: arguments, settings, log, stores, accounts, service, exit code.

mod assembly;
mod commands;

use std::{io::Write as _, net::SocketAddr, path::Path, process::ExitCode, sync::Arc, time::Duration};

use postern::{
    audit::{self, EventKind, Origin, Subject, Trail},
    cli::{self, Task},
    clock::{Clock as _, SystemClock},
    config::{self, Config, Mistake, SETTINGS, Setting, Stores, Values},
    http::Readiness,
    memory,
    metrics::Metrics,
    server::{self, ConnectionLimits, Listening, Phase, Tls},
    store::{embedded::DataDirectory, postgres},
    telemetry,
    tokens::{AccessFormat, Keys},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tracing::{info, warn};

use self::assembly::Assembly;

/// Wrong settings or arguments (`EX_USAGE` of sysexits.h).
const WRONG_SETTINGS: u8 = 64;

/// What the audit trail has at the least to write what is left, however much of the grace requests have taken.
const LAST_WRITES: Duration = Duration::from_secs(1);

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
    telemetry::report_panics();
    if let Err(error) = memory::keep_to_itself() {
        eprintln!("postern: the memory of this process cannot be kept to itself: {error}");
        return ExitCode::FAILURE;
    }
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
                // First of all: the first process of a container is not ended by a signal that it does not expect.
                let mut signals = Signals::new()?;
                if migrate && let Stores::PostgresRedis(database, _) = &config.stores {
                    let done = signals.unless_first(postgres::migrate(database)).await?;
                    if done.is_none() {
                        return Ok(ExitCode::SUCCESS);
                    }
                }
                serve(config, signals).await
            })
        }
        Task::Migrate => {
            let url = config::for_migrate(values).map_err(Failure::Settings)?;
            let applied = run_async(async { Ok(postgres::migrate(&url).await?) })?;
            print(&format!("PostgreSQL is up to date: {applied} migrations applied"))
        }
        Task::Users(task) => print(&commands::users(task, &config::for_users(values).map_err(Failure::Settings)?)?),
        Task::Audit(task) => print(&commands::audit(&task, &config::for_users(values).map_err(Failure::Settings)?)?),
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
async fn serve(config: Config, mut signals: Signals) -> Result<ExitCode, Failure> {
    let formats: Vec<_> = AccessFormat::ALL.iter().map(ToString::to_string).collect();
    let (clock, metrics) = (Arc::new(SystemClock), Arc::new(Metrics::new(&formats.join(","))));
    let assembly = Assembly { config: &config, clock: clock.clone(), metrics: Arc::clone(&metrics) };
    // First what may be wrong with files: nothing is opened for a server that will not start.
    let vouching = Arc::new(assembly.vouching()?);
    let tls = config.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
    let data = assembly.lock_data()?;
    let keys = assembly.open_keys()?;
    let Some(stores) = signals.unless_first(assembly.open_stores(data)).await? else { return Ok(ExitCode::SUCCESS) };
    let settings = audit::Settings::keeping(config.audit_retention);
    let (trail, writing) = audit::start(Arc::clone(&stores.audit), clock, metrics.audit.clone(), settings);
    let accounts = Arc::new(assembly.accounts(&stores, Arc::clone(&keys), trail.clone())?);
    let readiness = Arc::new(Readiness::default());
    let listener = bind(config.listen).await?;
    let ops_listener = bind(config.ops_listen).await?;
    announce(&config, &listener, &ops_listener)?;
    tokio::spawn(record_keys(keys, trail));

    tokio::spawn({
        let (readiness, accounts) = (Arc::clone(&readiness), Arc::clone(&accounts));
        async move { readiness.meet_stores(&accounts, config.limits.store).await }
    });
    assembly.raise_open_files_limit();
    let start = |listener, service, limits, tls| {
        let (phase, followed) = watch::channel(Phase::Serving);
        let listening = Listening { listener, service: Arc::new(service), limits, tls };
        (phase, tokio::spawn(server::serve(listening, followed)))
    };
    let public = assembly.public(&accounts, &readiness, vouching);
    if let Some(tls) = tls.clone() {
        tokio::spawn(tls.follow());
    }
    let limits = assembly.public_limits();
    let limits = ConnectionLimits { patience: limits.patience.stopping_within(config.shutdown_grace), ..limits };
    let (phase, mut public) = start(listener, public, limits, tls);
    // Probes are answered to the end: it is not told to stop. Nor has it TLS: those who ask are on a network of their own.
    let (_go_on, operations) =
        start(ops_listener, assembly.operations(&accounts, &readiness), assembly.operations_limits(), None);

    // Outside the macro, which looks at its fields only where the line is logged.
    let signal = signals.next().await;
    info!(signal, "stopping");
    readiness.drain();
    phase.send_replace(Phase::Leaving);
    let drain = async {
        sleep(config.drain_delay).await;
        phase.send_replace(Phase::Closing);
        let deadline = Instant::now() + config.shutdown_grace;
        let drained = timeout_at(deadline, &mut public).await.is_ok_and(|ended| ended.is_ok());
        // What has not ended by then is cut off.
        public.abort();
        writing.finish(deadline.max(Instant::now() + LAST_WRITES)).await;
        drained
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

/// Records which keys there are at the start, and each change of them.
async fn record_keys(keys: Arc<Keys>, trail: Trail) {
    let mut changes = keys.changes();
    let mut kind = EventKind::ServerStarted;
    loop {
        let summary = changes.borrow_and_update().summary();
        trail.record(kind, Subject::default().with_detail(format!("keys: {summary}")), Origin::server());
        kind = EventKind::KeysChanged;
        if changes.changed().await.is_err() {
            return;
        }
    }
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
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    writeln!(std::io::stdout(), "Postern listens on {scheme}://{public} (operations on {operations}), {data}")
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

    /// What comes of a step of the start, unless a signal comes first.
    async fn unless_first<T, E>(&mut self, step: impl Future<Output = Result<T, E>>) -> Result<Option<T>, E> {
        tokio::select! {
            biased;
            signal = self.next() => {
                info!(signal, "stopped before it served");
                Ok(None)
            }
            done = step => done.map(Some),
        }
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
