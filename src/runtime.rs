//! The asynchronous runtime of a command.

use std::mem;

use crate::exit::ExitError;

/// Runs a future to its end. Does not wait for other work that is still running, such as the lookup of a host name or a server
/// that a second signal has stopped: the end of the process ends it.
pub fn run_async<T>(future: impl Future<Output = Result<T, ExitError>>) -> Result<T, ExitError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(future);
    // Neither dropped, which would wait for blocking work, nor shut down, which would make that work panic.
    mem::forget(runtime);
    outcome
}
