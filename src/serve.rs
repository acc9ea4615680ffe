//! The life of a server: start, signals, drain.

use std::{io::Write as _, net::SocketAddr, path::Path, process::ExitCode, sync::Arc, time::Duration};

use postern::{
    audit::{self, Trail},
    clock::SystemClock,
    config::{Config, Stores},
    http::Readiness,
    keys::LiveKeyring,
    metrics::Metrics,
    model::{AuditOrigin, AuditSubject, EventKind},
    server::{self, ConnectionLimits, ListenerConfig, Phase, Tls},
    tokens::AccessFormat,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tracing::{info, warn};

use crate::{app::App, exit::ExitError};

/// What the audit trail has at the least to write what is left, however much of the grace requests have taken.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// Serves until a signal, drains, and says how it ended.
pub async fn serve(config: Config, mut signals: Signals) -> Result<ExitCode, ExitError> {
    let formats: Vec<_> = AccessFormat::ALL.iter().map(ToString::to_string).collect();
    let (clock, metrics) = (Arc::new(SystemClock), Arc::new(Metrics::new(&formats.join(","))));
    let app = App { config: &config, clock: clock.clone(), metrics: Arc::clone(&metrics) };
    // First what may be wrong with files: nothing is opened for a server that will not start.
    let token_check = Arc::new(app.token_check()?);
    let tls = config.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
    let data = app.lock_data()?;
    let keys = app.open_keys()?;
    let Some(stores) = signals.or_signal(app.open_stores(data)).await? else { return Ok(ExitCode::SUCCESS) };
    let settings = audit::Settings::keeping(config.audit_retention);
    let (trail, writing) = audit::start(Arc::clone(&stores.audit), clock, metrics.audit.clone(), settings);
    let accounts = Arc::new(app.accounts(&stores, Arc::clone(&keys), trail.clone())?);
    let readiness = Arc::new(Readiness::default());
    let listener = bind(config.listen).await?;
    let ops_listener = bind(config.ops_listen).await?;
    print_addresses(&config, &listener, &ops_listener)?;
    tokio::spawn(record_keys(keys, trail));

    tokio::spawn({
        let (readiness, accounts) = (Arc::clone(&readiness), Arc::clone(&accounts));
        async move { readiness.wait_for_stores(&accounts, config.limits.store).await }
    });
    app.raise_open_files_limit();
    let start = |listener, service, limits, tls| {
        let (phase, followed) = watch::channel(Phase::Serving);
        let config = ListenerConfig { listener, service: Arc::new(service), limits, tls };
        (phase, tokio::spawn(server::serve(config, followed)))
    };
    let public = app.public(&accounts, &readiness, token_check);
    if let Some(tls) = tls.clone() {
        tokio::spawn(tls.watch());
    }
    let limits = app.public_limits();
    let limits = ConnectionLimits { timeouts: limits.timeouts.stopping_within(config.shutdown_grace), ..limits };
    let (phase, mut public) = start(listener, public, limits, tls);
    // Probes are answered to the end: it is not told to stop. Nor has it TLS: those who ask are on a network of their own.
    let (_go_on, operations) =
        start(ops_listener, app.operations(&accounts, &readiness), app.operations_limits(), None);

    // Outside the macro, which looks at its fields only where the line is logged.
    let signal = signals.next().await;
    info!(signal, "stopping");
    readiness.drain();
    phase.send_replace(Phase::Draining);
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

async fn bind(address: SocketAddr) -> Result<TcpListener, ExitError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| ExitError::from(format!("cannot listen on {address}: {error}")))
}

/// The one line on standard output: where we listen, and where the data is.
fn print_addresses(config: &Config, public: &TcpListener, operations: &TcpListener) -> std::io::Result<()> {
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
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// What comes of a step of the start, unless a signal comes first.
    pub async fn or_signal<T, E>(&mut self, step: impl Future<Output = Result<T, E>>) -> Result<Option<T>, E> {
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
