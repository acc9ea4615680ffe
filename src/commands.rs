//! The commands that need the users' store: what they open, and what is left to do when they are done.

use std::{path::Path, sync::Arc, time::Duration};

use postern::{
    accounts::UserAdmin,
    audit::Trail,
    cli::{self, AuditCommand, UserCommand},
    clock::{Clock, SystemClock},
    config::{UsersConfig, UsersStore},
    metrics::Metrics,
    model::AuditOrigin,
    passwords::{Hasher, Policy},
    store::{
        AuditStore, UserStore,
        postgres::{self, PostgresStore},
        sqlite::{DataDirError, DataDirectory, SqliteStore},
    },
};
use rustix::process::getuid;
use tokio::signal::unix::{SignalKind, signal};

use crate::{app::make_first_keys, exit::ExitError, runtime::run_async};

/// How long PostgreSQL may take for a statement of a command.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(1);

/// More events than a command records.
const EVENTS: usize = 16;

/// Does something about users, and returns what to print.
pub fn users(task: UserCommand, config: &UsersConfig) -> Result<String, ExitError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    run_async(async {
        // An interrupt that ended the process at the prompt would leave the terminal without echo.
        let mut interrupts = signal(SignalKind::interrupt())?;
        // Before the store is opened: people take their time, and a restore may come in between.
        let password = task.asks_for_password().then(cli::password::ask).transpose()?;
        // A first user may come before the first server; whoever looks for one in the wrong place makes nothing.
        let open = if task.makes_first_user() { DataDirectory::open } else { DataDirectory::existing };
        let (users, events) = open_users(config, open, &clock).await?;
        let metrics = Metrics::new("");
        let (audit, pending) = Trail::new(Arc::clone(&clock), metrics.audit, EVENTS);
        let user_admin = UserAdmin {
            users,
            hasher: Hasher::start(config.hashing, metrics.hashing)?,
            policy: Policy { min_code_points: config.password_min_length },
            clock,
            audit,
            origin: AuditOrigin::command_line(getuid().as_raw()),
        };
        let done: Result<_, ExitError> = tokio::select! {
            done = task.run(&user_admin, password) => Ok(done?),
            _ = interrupts.recv() => Err("interrupted: whether it was done is not known".into()),
        };
        if let Err(error) = pending.write(&*events).await {
            eprintln!("postern: this has been done, but the audit trail does not have it: {error}");
        }
        done
    })
}

/// Shows events, as they are printed.
pub fn audit(task: &AuditCommand, config: &UsersConfig) -> Result<String, ExitError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    run_async(async {
        let (users, events) = open_users(config, DataDirectory::existing, &clock).await?;
        Ok(task.run(&*users, &*events, clock.now()).await?)
    })
}

type Open = fn(&Path) -> Result<DataDirectory, DataDirError>;

/// The users' store, by what it can do.
async fn open_users(
    config: &UsersConfig,
    open: Open,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<dyn UserStore>, Arc<dyn AuditStore>), ExitError> {
    match &config.store {
        UsersStore::Embedded(embedded) => {
            let store = Arc::new(open_beside(&open(&embedded.data_dir)?, &embedded.keys_dir, clock)?);
            Ok((store.clone(), store))
        }
        UsersStore::Postgres(database) => {
            postgres::check_schema(database).await?;
            let store = Arc::new(PostgresStore::new(database, COMMAND_TIMEOUT)?);
            Ok((store.clone(), store))
        }
    }
}

/// The embedded store for a command, beside the server that may be running.
fn open_beside(directory: &DataDirectory, keys_dir: &Path, clock: &Arc<dyn Clock>) -> Result<SqliteStore, ExitError> {
    match directory.lock() {
        Ok(lock) => {
            make_first_keys(directory, keys_dir, clock)?;
            Ok(directory.store(&lock, Arc::clone(clock))?)
        }
        Err(DataDirError::Locked(_)) => Ok(directory.store_beside_server(Arc::clone(clock))?),
        Err(error) => Err(error.into()),
    }
}
