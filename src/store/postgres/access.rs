//! The access to PostgreSQL: the connection pool and the statements that run on it.

use std::time::Duration;

use deadpool::{
    Runtime, Status,
    managed::{self, Object},
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_postgres::{Row, error::SqlState, types::ToSql};

use super::{
    connection_limit::{ConnectionLimit, MAX_CONNECTIONS},
    connector::PostgresConnector,
    error::{Fault, STORE, SchemaError, error_chain},
    manager::PoolManager,
    url::{CONNECT_TIMEOUT, PostgresUrl},
};
use crate::{
    metrics::PoolStats,
    reloading::FileWatch,
    store::{
        StoreError, TimeBudget,
        reconnect::{CallError, Open, SharedConnection},
        retry_budget::RetryBudget,
    },
};

/// The constraint of the first migration by which no two users have the same email.
const EMAIL_CONSTRAINT: &str = "users_email_key";

type Pool = managed::Pool<PoolManager>;
type PoolError = managed::PoolError<SchemaError>;

/// Runs statements over a pool of connections that are opened on demand. Each new connection checks the schema first.
pub(super) struct PostgresAccess {
    connector: PostgresConnector,
    pool: Pool,
    connection_limit: ConnectionLimit,
    /// Open while PostgreSQL responds, as far as is known. While it is closed, only its attempts open connections of
    /// the pool.
    availability: SharedConnection<()>,
    retries: RetryBudget,
}

impl PostgresAccess {
    /// Prepares the access without opening a connection yet. PostgreSQL cancels a statement that takes longer than
    /// `statement_timeout`: its caller has given up, and it would otherwise occupy a connection and take effect late.
    ///
    /// # Errors
    /// Returns [`SchemaError`] if the URL requires TLS and it cannot be set up.
    pub(super) fn new(url: &PostgresUrl, statement_timeout: Duration) -> Result<Self, SchemaError> {
        let connector = PostgresConnector::new(url)?;
        let manager = PoolManager::new(url, connector.clone(), statement_timeout);
        let pool = Pool::builder(manager)
            .max_size(MAX_CONNECTIONS)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build();
        let pool = pool.unwrap_or_else(|_| unreachable!("a pool with timeouts has a runtime"));
        let availability = SharedConnection::new({
            let pool = pool.clone();
            move || ensure_connection(pool.clone())
        });
        let (connection_limit, retries) = (ConnectionLimit::default(), RetryBudget::default());
        Ok(Self { connector, pool, connection_limit, availability, retries })
    }

    /// Makes the next connection reveal a connection pooler.
    pub(super) fn reveal_pooler(&self) {
        self.pool.manager().reveal_pooler();
    }

    /// Runs one statement, and holds a connection for no longer than that. Retries it once, within the retry budget, if
    /// PostgreSQL did not run it.
    pub(super) async fn query(
        &self,
        query: &'static str,
        params: &[&(dyn ToSql + Sync)],
        time: &TimeBudget,
    ) -> Result<Vec<Row>, StoreError> {
        Ok(self.query_with_retry(query, params, |error| matches!(error, CallError::NotRun(_)), time).await?)
    }

    /// Runs one statement as [`query`](Self::query) does. Returns `None` if another user has the email that it was to write,
    /// also if a concurrent statement has written it.
    pub(super) async fn query_unless_email_taken(
        &self,
        query: &'static str,
        params: &[&(dyn ToSql + Sync)],
        time: &TimeBudget,
    ) -> Result<Option<Vec<Row>>, StoreError> {
        let may_retry = |error: &CallError| matches!(error, CallError::NotRun(_));
        match self.query_with_retry(query, params, may_retry, time).await {
            Ok(rows) => Ok(Some(rows)),
            Err(CallError::EmailTaken(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs an idempotent statement, and retries it once, within the retry budget, if PostgreSQL did not run it or if the
    /// connection broke, as all connections do when PostgreSQL restarts.
    pub(super) async fn query_idempotent(
        &self,
        query: &'static str,
        params: &[&(dyn ToSql + Sync)],
        time: &TimeBudget,
    ) -> Result<Vec<Row>, StoreError> {
        let may_retry = |error: &CallError| matches!(error, CallError::Connection(_) | CallError::NotRun(_));
        Ok(self.query_with_retry(query, params, may_retry, time).await?)
    }

    /// Runs one statement that reads, in a transaction with its own `statement_timeout`. Does not retry it.
    pub(super) async fn query_long(
        &self,
        query: &'static str,
        statement_timeout: Duration,
        time: &TimeBudget,
    ) -> Result<Vec<Row>, StoreError> {
        Ok(self.attempt(query, &[], (time, Some(statement_timeout))).await?)
    }

    async fn query_with_retry(
        &self,
        query: &'static str,
        params: &[&(dyn ToSql + Sync)],
        may_retry: impl Fn(&CallError) -> bool,
        time: &TimeBudget,
    ) -> Result<Vec<Row>, CallError> {
        self.retries.deposit();
        match self.attempt(query, params, (time, None)).await {
            Err(error) if may_retry(&error) && self.retries.withdraw() => {
                self.attempt(query, params, (time, None)).await
            }
            outcome => outcome,
        }
    }

    async fn attempt(
        &self,
        query: &'static str,
        params: &[&(dyn ToSql + Sync)],
        (time, statement_timeout): (&TimeBudget, Option<Duration>),
    ) -> Result<Vec<Row>, CallError> {
        let open = time.limit(STORE, self.availability.open()).await.map_err(CallError::Other)?;
        let lease = time.limit(STORE, self.lease(&open)).await.map_err(|error| {
            self.availability.invalidate(&open);
            CallError::Other(error)
        })?;
        let started = Instant::now();
        let run = async {
            let client = lease.client();
            Ok(match statement_timeout {
                None => query_prepared(client, query, params).await,
                Some(limit) => query_in_transaction(client, (query, params), limit).await,
            })
        };
        match time.limit(STORE, run).await {
            Ok(Ok(rows)) => {
                lease.return_to_pool();
                self.availability.record_response();
                Ok(rows)
            }
            Ok(Err(error)) => Err(self.fail(error, lease, &open)),
            Err(error) => {
                self.availability.invalidate(&open);
                // Connections that have been idle since may be dead too, and their next callers would wait as long.
                self.pool.retain(|_, metrics| metrics.last_used() < started.elapsed());
                Err(CallError::Other(error))
            }
        }
    }

    /// Decides after an error of PostgreSQL or of the connection which connections can be used again.
    fn fail(&self, error: tokio_postgres::Error, lease: Lease, open: &Open<()>) -> CallError {
        match Fault::of(&error) {
            Fault::Outage if ends_connections(&error) => {
                // The other connections belong to the same server, unless they were opened since.
                if self.availability.invalidate(open) {
                    self.pool.retain(|_, _| false);
                }
                CallError::Connection(error.into())
            }
            Fault::Outage => CallError::Other(error.into()),
            Fault::StaleStatement => {
                self.pool.manager().forget_statements();
                CallError::NotRun(error.into())
            }
            // The connection is intact. A new one for each rejected value would let clients cause many.
            Fault::Value | Fault::Statement | Fault::Corrupt => {
                lease.return_to_pool();
                self.availability.record_response();
                let is_email_taken =
                    error.as_db_error().is_some_and(|error| error.constraint() == Some(EMAIL_CONSTRAINT));
                if is_email_taken { CallError::EmailTaken(error.into()) } else { CallError::Other(error.into()) }
            }
        }
    }

    /// Returns a connection of the pool. If PostgreSQL has no free slots, waits for an existing or pending connection.
    async fn lease(&self, open: &Open<()>) -> Result<Lease, StoreError> {
        let (mut permit, mut open) = (self.connection_limit.acquire().await, open.clone());
        loop {
            match self.get().await? {
                Err(error) if is_out_of_connections(&error) => {
                    if !has_connections(&self.pool) {
                        self.availability.invalidate(&open);
                        open = self.availability.open().await?;
                    } else if self.connection_limit.shrink() {
                        permit.forget();
                        permit = self.connection_limit.acquire().await;
                    }
                }
                connection => {
                    return Ok(Lease { connection: Some(connection.map_err(open_error)?), _permit: permit });
                }
            }
        }
    }

    /// Takes a connection from the pool. If no connection is idle, a separate task opens one: a request with too little
    /// time left would otherwise cancel each attempt it starts. A connection that comes too late for the request goes to the
    /// pool. A request that waits in a full pool leaves the queue when it is dropped.
    async fn get(&self) -> Result<Result<Object<PoolManager>, PoolError>, StoreError> {
        let pool = self.pool.clone();
        let Status { size, max_size, available, .. } = pool.status();
        if available > 0 || size >= max_size {
            return Ok(pool.get().await);
        }
        let outcome = tokio::spawn(async move { pool.get().await }).await;
        outcome.map_err(|error| StoreError::unavailable(STORE, &error))
    }

    /// Returns a watch that checks the file of the URL every ten seconds.
    pub(super) fn watch_url_file(&self) -> FileWatch {
        self.connector.watch_url_file()
    }

    /// Returns the current use of the pool.
    pub(super) fn pool_stats(&self) -> PoolStats {
        let Status { max_size, size, available, waiting } = self.pool.status();
        let in_use = size.saturating_sub(available);
        let waiting = waiting + self.availability.waiting() + self.connection_limit.waiting();
        PoolStats { idle: available, in_use, max: max_size, waiting, retries: self.retries.counts() }
    }
}

/// Opens a connection in the pool, unless it has one.
async fn query_prepared(
    client: &Object<PoolManager>,
    query: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(query).await?;
    client.query(&statement, params).await
}

/// Ends the transaction whatever becomes of the query, because the connection may return to the pool.
async fn query_in_transaction(
    client: &Object<PoolManager>,
    (query, params): (&str, &[&(dyn ToSql + Sync)]),
    statement_timeout: Duration,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", statement_timeout.as_millis());
    client.batch_execute(&begin).await?;
    let rows = query_prepared(client, query, params).await;
    client.batch_execute("ROLLBACK").await?;
    rows
}

async fn ensure_connection(pool: Pool) -> Result<(), StoreError> {
    match pool.get().await {
        // PostgreSQL responded, and there are connections, even if all are in use.
        Err(error) if is_out_of_connections(&error) && has_connections(&pool) => Ok(()),
        outcome => outcome.map(drop).map_err(open_error),
    }
}

/// Returns whether the pool has connections, even if they are in use or being checked.
fn has_connections(pool: &Pool) -> bool {
    pool.manager().has_unchecked() || pool.status().size > 0
}

/// Returns the error of a call that got no connection.
fn open_error(error: PoolError) -> StoreError {
    match error {
        PoolError::Backend(error) => error.into(),
        error => StoreError::unavailable(STORE, &error_chain(&error)),
    }
}

/// Returns whether PostgreSQL has no free slots.
fn is_out_of_connections(error: &PoolError) -> bool {
    let PoolError::Backend(SchemaError::Unreachable(error)) = error else { return false };
    error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS)
}

/// Returns whether all connections of the pool must be discarded after this error: the connection broke, PostgreSQL
/// shuts down, or it rejects writes because it is no longer the primary.
fn ends_connections(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => *code == SqlState::READ_ONLY_SQL_TRANSACTION || code.code().starts_with("57P"),
        None => true,
    }
}

/// A connection that is closed when it is dropped, unless it was returned to the pool. If its call was dropped or
/// failed, the connection may be broken or still have a response outstanding, for which its next user would wait.
struct Lease {
    connection: Option<Object<PoolManager>>,
    /// Released after the connection.
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    fn client(&self) -> &Object<PoolManager> {
        self.connection.as_ref().unwrap_or_else(|| unreachable!("return_to_pool consumes the lease"))
    }

    fn return_to_pool(mut self) {
        drop(self.connection.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}
