//! The asynchronous runtime of a command.

use crate::exit::ExitError;

/// Runs a task to its end without waiting for work that it left behind, such as the look-up of a host name.
pub fn run_async<T>(task: impl Future<Output = Result<T, ExitError>>) -> Result<T, ExitError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(task);
    runtime.shutdown_background();
    outcome
}
