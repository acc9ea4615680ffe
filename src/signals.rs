//! Signals, and the deadline of a stop.

use std::{
    io,
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until},
};
use tracing::{info, warn};

use crate::exit::ExitError;

/// How long a server may take to stop beyond the limits of its own steps.
const STOP_MARGIN: Duration = Duration::from_secs(1);

/// How long after the first signal another one counts as its duplicate: `timeout` signals a process and then its group.
const DUPLICATES: Duration = Duration::from_millis(100);

/// SIGTERM and SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for a signal, and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Runs a step of the start. Returns `None` if a signal comes first.
    pub async fn or_signal<T, E>(&mut self, step: impl Future<Output = Result<T, E>>) -> Result<Option<T>, E> {
        tokio::select! {
            biased;
            signal = self.next() => {
                info!(signal, "stopped during the start");
                Ok(None)
            }
            done = step => done.map(Some),
        }
    }
}

/// The longest time from the first signal to the end of the server.
#[derive(Clone, Default)]
pub struct StopLimit(Arc<OnceLock<Duration>>);

impl StopLimit {
    /// Sets the time that the steps of a stop may take. Before that, while the server starts, there are none.
    pub fn set(&self, steps: Duration) {
        let _ = self.0.set(steps);
    }

    /// Waits until the limit has passed since a time.
    async fn passed_since(&self, signal: Instant) {
        loop {
            let deadline = signal + self.0.get().copied().unwrap_or_default() + STOP_MARGIN;
            if deadline <= Instant::now() {
                return;
            }
            // The server may set the limit meanwhile, if the signal came just before it was ready.
            sleep_until(deadline).await;
        }
    }
}

/// Runs a server until it ends. After the first signal, which the server handles, gives it up at a second signal or at its
/// [`StopLimit`], and returns failure.
///
/// The server has a thread of its own, so that nothing that blocks, such as a disk that hangs or a lock during the start,
/// keeps the process alive.
pub async fn run_stoppable<F>(
    serve: impl FnOnce(Signals, StopLimit) -> F + Send + 'static,
) -> Result<ExitCode, ExitError>
where
    F: Future<Output = Result<ExitCode, ExitError>>,
{
    // First of all: as the first process of a container, this one ignores signals that it does not handle.
    let (signals, of_server, limit) = (Signals::new()?, Signals::new()?, StopLimit::default());
    let (runtime, limit_of_server) = (Handle::current(), limit.clone());
    let server = spawn_blocking(move || runtime.block_on(serve(of_server, limit_of_server)));
    tokio::select! {
        ended = server => ended.unwrap_or_else(|_panic| Err("the server panicked".into())),
        cause = give_up(signals, &limit) => {
            warn!(cause, "stopping without draining");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Waits for the first signal, and then until the server must be given up. Returns why.
async fn give_up(mut signals: Signals, limit: &StopLimit) -> &'static str {
    signals.next().await;
    tokio::select! {
        signal = second_signal() => signal,
        () = limit.passed_since(Instant::now()) => "deadline",
    }
}

async fn second_signal() -> &'static str {
    sleep(DUPLICATES).await;
    match Signals::new() {
        Ok(mut signals) => signals.next().await,
        Err(_) => std::future::pending().await,
    }
}
