//! Builds an index while others read and write its table.

use std::pin::pin;

use tokio::time::timeout;
use tokio_postgres::{Client, error::SqlState};

use super::{
    progress::{REPORT_INTERVAL, StepReport},
    steps::Index,
};
use crate::store::postgres::{error::SchemaError, schema::connect, url::PostgresUrl};

const INDEX: &str = include_str!("../../../../sql/postgres/queries/migration.index.sql");
const INDEX_BUILD: &str = include_str!("../../../../sql/postgres/queries/migration.index_build.sql");

/// How often a build is tried: PostgreSQL cancels one that is part of a deadlock.
const ATTEMPTS: u32 = 5;

/// Builds an index unless it exists. Drops an invalid one first, which an interrupted build leaves.
///
/// Waits without a limit for the transactions that may use an older state of the table, for example those of a dump: meanwhile,
/// nobody waits for the build but vacuum and other migrations.
///
/// # Errors
/// Returns [`SchemaError`] if the name belongs to something else, or PostgreSQL fails to build the index.
pub(super) async fn build(
    client: &Client,
    url: &PostgresUrl,
    index: &Index,
    report: &StepReport<'_>,
) -> Result<(), SchemaError> {
    let mut monitor = Monitor { url, session: session_of(client).await?, client: None };
    for attempt in 1.. {
        match state(client, index).await? {
            State::Valid => return Ok(()),
            State::Absent => {}
            State::Invalid { schema } => {
                report.activity(format!("dropping the invalid index {}", index.name));
                let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {schema}.{}", index.name);
                run(client, &drop, &mut monitor, report).await?;
            }
        }
        report.activity(format!("building index {}", index.name));
        match run(client, &index.concurrent_statement(), &mut monitor, report).await {
            Err(error) if attempt < ATTEMPTS && is_deadlock(&error) => {}
            outcome => {
                outcome?;
                return check_built(client, index).await;
            }
        }
    }
    Ok(())
}

/// Checks that the index exists: PostgreSQL builds none if a table, for example, has its name.
async fn check_built(client: &Client, index: &Index) -> Result<(), SchemaError> {
    let Index { name, table, .. } = index;
    match state(client, index).await? {
        State::Valid => Ok(()),
        State::Absent | State::Invalid { .. } => {
            Err(SchemaError::NameTaken { name: name.clone(), table: table.clone() })
        }
    }
}

enum State {
    Absent,
    Invalid {
        /// Its schema, in quotes if necessary.
        schema: String,
    },
    Valid,
}

async fn state(client: &Client, index: &Index) -> Result<State, SchemaError> {
    let Some(row) = client.query_opt(INDEX, &[&index.name, &index.table]).await? else { return Ok(State::Absent) };
    if !row.try_get::<_, bool>("is_of_table")? {
        let Index { name, table, .. } = index;
        return Err(SchemaError::NameTaken { name: name.clone(), table: table.clone() });
    }
    Ok(if row.try_get("is_valid")? { State::Valid } else { State::Invalid { schema: row.try_get("schema")? } })
}

async fn session_of(client: &Client) -> Result<i32, SchemaError> {
    Ok(client.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?)
}

fn is_deadlock(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED)
}

/// Runs a statement outside a transaction, and reports what it does from time to time.
async fn run(
    client: &Client,
    sql: &str,
    monitor: &mut Monitor<'_>,
    report: &StepReport<'_>,
) -> Result<(), tokio_postgres::Error> {
    let mut running = pin!(client.batch_execute(sql));
    loop {
        if let Ok(outcome) = timeout(REPORT_INTERVAL, &mut running).await {
            return outcome;
        }
        if let Some(activity) = monitor.activity().await {
            report.activity(activity);
        }
    }
}

/// Looks at a build by a connection of its own, which is opened when it is needed.
struct Monitor<'a> {
    url: &'a PostgresUrl,
    /// The session that builds.
    session: i32,
    client: Option<Client>,
}

impl Monitor<'_> {
    /// Returns what the build does, or `None` if PostgreSQL does not say: it does so from version 12, to those who get a
    /// connection.
    async fn activity(&mut self) -> Option<String> {
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => connect(self.url).await.ok()?,
        };
        let row = timeout(REPORT_INTERVAL, client.query_opt(INDEX_BUILD, &[&self.session])).await.ok()?.ok()?;
        self.client = Some(client);
        row.and_then(|row| describe(&row).ok())
    }
}

fn describe(row: &tokio_postgres::Row) -> Result<String, tokio_postgres::Error> {
    let (phase, done, total): (String, i64, i64) =
        (row.try_get("phase")?, row.try_get("blocks_done")?, row.try_get("blocks_total")?);
    let (session, application, seconds): (Option<i32>, Option<String>, Option<i64>) =
        (row.try_get("session")?, row.try_get("application")?, row.try_get("seconds")?);
    let blocks = if total > 0 { format!(", {done} of {total} blocks") } else { String::new() };
    let blocker = session.map_or_else(String::new, |session| {
        let application =
            application.filter(|name| !name.is_empty()).map(|name| format!(", {name}")).unwrap_or_default();
        let seconds = seconds.map(|seconds| format!(", begun {seconds} s ago")).unwrap_or_default();
        format!(" (the transaction of session {session}{application}{seconds})")
    });
    Ok(format!("{phase}{blocks}{blocker}"))
}
