//! The life of a server: start, signals, drain.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use postern::{
    accounts::Accounts,
    audit::{Trail, WriterHandle},
    config::{Config, Stores, Values},
    http::{Readiness, Service, TokenCheckConfig, UseCases},
    keys::LiveKeyring,
    logging,
    model::{AuditOrigin, AuditSubject, EventKind},
    server::{self, ConnectionLimits, ListenerConfig, Phase, Tls},
    store::{
        postgres::{self, MigrationProgress},
        sqlite::{DataDirectory, ServerLock},
    },
};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep, timeout_at},
};
use tracing::{info, warn};

use crate::{
    app::{App, Services},
    exit::ExitError,
    signals::{Signals, StopLimit},
};

/// The least time to write the remaining audit events, even if requests have used up the grace period.
const MIN_AUDIT_FLUSH: Duration = Duration::from_secs(1);

/// The command that serves.
pub struct ServeCommand {
    /// The settings, not parsed yet.
    pub values: Values,
    /// Whether to migrate the schema of PostgreSQL first.
    pub migrate: bool,
}

impl ServeCommand {
    /// Starts a server, and serves until a signal. Then drains, and returns success if every request was completed.
    pub async fn run(self, mut signals: Signals, limit: StopLimit) -> Result<ExitCode, ExitError> {
        let config = Config::for_serve(&self.values).map_err(ExitError::Settings)?;
        logging::start(config.log, config.log_format);
        if let (true, Stores::PostgresRedis(database, _)) = (self.migrate, &config.stores)
            && signals.or_signal(postgres::migrate(database, &log_migration)).await?.is_none()
        {
            return Ok(ExitCode::SUCCESS);
        }
        serve(config, signals, limit).await
    }
}

fn log_migration(progress: &MigrationProgress) {
    info!(%progress, "migrating PostgreSQL");
}

async fn serve(config: Config, mut signals: Signals, limit: StopLimit) -> Result<ExitCode, ExitError> {
    let app = App::new(&config);
    let mut files = OpenFiles::open(&app)?;
    let opening = app.open_stores(files.data.take());
    let Some(stores) = signals.or_signal(opening).await? else { return Ok(ExitCode::SUCCESS) };
    let (trail, audit_writer) = app.start_audit(&stores);
    let use_cases = app.use_cases(&stores, Arc::clone(&files.keys), trail.clone())?;
    let accounts = &use_cases.accounts;
    let follower = Arc::clone(accounts);
    tokio::spawn(async move { follower.imported_hashes.follow(&*follower.users).await });
    let reading = async {
        accounts.imported_hashes.first_reading(config.limits.store).await;
        Ok::<_, ExitError>(())
    };
    let Some(()) = signals.or_signal(reading).await? else { return Ok(ExitCode::SUCCESS) };
    let listeners = Listeners::bind(&config)?;
    listeners.print_addresses(&config)?;
    tokio::spawn(record_keys(Arc::clone(&files.keys), trail));
    let running = Running::start(&app, &use_cases, listeners, files);
    limit.set(config.drain_delay + config.shutdown_grace + MIN_AUDIT_FLUSH);

    // Not inside `info!`, which evaluates its fields only if the event is logged.
    let signal = signals.next().await;
    info!(signal, "stopping");
    let drained = running.stop(&config, audit_writer).await;
    info!(drained, "stopped");
    Ok(if drained { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The files of a server. They are opened before anything else starts, because an invalid one ends the start.
struct OpenFiles {
    token_check: TokenCheckConfig,
    tls: Option<Arc<Tls>>,
    data: Option<(DataDirectory, ServerLock)>,
    keys: Arc<LiveKeyring>,
}

impl OpenFiles {
    fn open(app: &App) -> Result<Self, ExitError> {
        Ok(Self {
            token_check: app.token_check()?,
            tls: app.open_tls()?,
            data: app.lock_data()?,
            keys: app.open_keys()?,
        })
    }
}

/// The bound sockets.
struct Listeners {
    public: TcpListener,
    operations: TcpListener,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Self, ExitError> {
        Ok(Self { public: bind(config.listen)?, operations: bind(config.ops_listen)? })
    }

    /// Prints the addresses and the stores, as the only line on standard output. Does not wait for its reader.
    fn print_addresses(&self, config: &Config) -> io::Result<()> {
        let (public, operations) = (reachable(self.public.local_addr()?), reachable(self.operations.local_addr()?));
        let data = match &config.stores {
            Stores::Embedded => format!("embedded store in {}", absolute(&config.data_dir)),
            Stores::PostgresRedis(database, redis) => format!("users in {database}, sessions in {redis}"),
        };
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let line = format!("Postern listens on {scheme}://{public} (operations on {operations}), {data}\n");
        spawn_blocking(move || {
            if let Err(error) = io::stdout().write_all(line.as_bytes()) {
                warn!(%error, "failed to print the addresses");
            }
        });
        Ok(())
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, ExitError> {
    server::bind(address).map_err(|error| ExitError::from(format!("cannot listen on {address}: {error}")))
}

/// Returns the host and port by which clients on this machine reach a listener, and says if other machines reach it by every
/// address: not every client connects to an unspecified address.
fn reachable(address: SocketAddr) -> String {
    match address.ip() {
        ip if !ip.to_canonical().is_unspecified() => address.to_string(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => format!("localhost:{} on all addresses", address.port()),
        _ => format!("localhost:{} on all IPv4 addresses", address.port()),
    }
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// The tasks of a running server.
struct Running {
    readiness: Arc<Readiness>,
    public: ListenerTask,
    operations: ListenerTask,
}

/// The task of a listener, and its phase.
struct ListenerTask {
    phase: watch::Sender<Phase>,
    task: JoinHandle<()>,
}

impl ListenerTask {
    fn spawn(listener: TcpListener, service: Service, limits: ConnectionLimits, tls: Option<Arc<Tls>>) -> Self {
        let (phase, phases) = watch::channel(Phase::Serving);
        let listening = ListenerConfig { listener, service: Arc::new(service), limits, tls };
        Self { phase, task: tokio::spawn(server::serve(listening, phases)) }
    }
}

impl Running {
    fn start(app: &App, use_cases: &UseCases, listeners: Listeners, files: OpenFiles) -> Self {
        let readiness = Arc::new(Readiness::default());
        spawn_store_checks(&readiness, &use_cases.accounts, app.config.limits.store);
        app.raise_open_files_limit();
        // The operations listener has no TLS: probes and scrapers use a private network.
        let Services { public, operations } = app.services(use_cases, &readiness, files.token_check);
        Self {
            public: ListenerTask::spawn(listeners.public, public, app.public_limits(), files.tls),
            operations: ListenerTask::spawn(listeners.operations, operations, app.operations_limits(), None),
            readiness,
        }
    }

    /// Drains. Returns whether every request was completed.
    async fn stop(mut self, config: &Config, audit_writer: WriterHandle) -> bool {
        self.readiness.drain();
        self.public.phase.send_replace(Phase::Draining);
        let drained = self.drain(config, audit_writer).await;
        self.operations.task.abort();
        drained
    }

    /// Closes the public listener after the drain delay, and aborts the requests that exceed the grace period.
    async fn drain(&mut self, config: &Config, audit_writer: WriterHandle) -> bool {
        sleep(config.drain_delay).await;
        self.public.phase.send_replace(Phase::Closing);
        let deadline = Instant::now() + config.shutdown_grace;
        let drained = timeout_at(deadline, &mut self.public.task).await.is_ok_and(|ended| ended.is_ok());
        self.public.task.abort();
        // Administrators' requests on this listener end before the audit trail does. Probes get responses until now.
        self.operations.phase.send_replace(Phase::Closing);
        let _ = timeout_at(deadline, &mut self.operations.task).await;
        audit_writer.finish(deadline.max(Instant::now() + MIN_AUDIT_FLUSH)).await;
        drained
    }
}

fn spawn_store_checks(readiness: &Arc<Readiness>, accounts: &Arc<Accounts>, timeout: Duration) {
    let (readiness, accounts) = (Arc::clone(readiness), Arc::clone(accounts));
    tokio::spawn(async move { readiness.wait_for_stores(&accounts, timeout).await });
}

/// Records the keys of the start, and each change.
async fn record_keys(keys: Arc<LiveKeyring>, trail: Trail) {
    let mut changes = keys.changes();
    let mut kind = EventKind::ServerStarted;
    loop {
        let summary = changes.borrow_and_update().summary();
        trail.record(kind, AuditSubject::default().with_detail(format!("keys: {summary}")), AuditOrigin::server());
        kind = EventKind::KeysChanged;
        if changes.changed().await.is_err() {
            return;
        }
    }
}
