//! The asynchronous runtime of a command.

use crate::exit::ExitError;

/// Runs a future to its end. Does not wait for blocking work that is still running, such as the lookup of a host name.
pub fn run_async<T>(future: impl Future<Output = Result<T, ExitError>>) -> Result<T, ExitError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(future);
    runtime.shutdown_background();
    outcome
}
