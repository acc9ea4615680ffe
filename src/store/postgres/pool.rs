//! The pool of connections.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Status,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};
use tokio_postgres::{Row, error::SqlState, types::ToSql};

use super::{
    connection_limit::{ConnectionLimit, MAX_CONNECTIONS},
    connector::Connector,
    error::{STORE, SchemaError, error_chain},
    schema::check_schema_of,
    url::{CONNECT_TIMEOUT, PostgresUrl},
};
use crate::{
    metrics::PoolStats,
    store::{
        StoreError, TimeBudget,
        reconnect::{CallError, Open, SharedConnection},
        retry_budget::RetryBudget,
    },
};

/// Users and audit events in PostgreSQL. Connections are made when they are needed, and each checks the schema first.
pub struct PostgresStore {
    pool: Pool,
    limit: ConnectionLimit,
    /// Open as long as PostgreSQL answers, as far as is known. Until then, its attempts are all that fills the pool.
    shared: SharedConnection<()>,
    retries: RetryBudget,
}

impl PostgresStore {
    /// A pool of connections, none of them open yet. PostgreSQL ends a statement that takes longer than `statement_timeout`:
    /// nobody waits for it any more, and it would keep its place, and take effect when nobody expects it.
    ///
    /// # Errors
    /// Where TLS is asked for and cannot be set up.
    pub fn new(url: &PostgresUrl, statement_timeout: Duration) -> Result<Self, SchemaError> {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(url.config.clone(), Connector::new(url)?, config);
        let set_up = format!("SET statement_timeout = {}", statement_timeout.as_millis());
        let check = Hook::async_fn(move |client, _| {
            let set_up = set_up.clone();
            Box::pin(async move {
                let check = async {
                    client.batch_execute(&set_up).await?;
                    check_schema_of(client).await
                };
                // The pool's own limit ends before its hooks, and a hook that hangs would keep its place for ever.
                let checked = timeout(CONNECT_TIMEOUT, check).await.unwrap_or(Err(SchemaError::Silent));
                checked.map_err(|error| HookError::message(error.to_string()))
            })
        });
        let pool = Pool::builder(manager)
            .max_size(MAX_CONNECTIONS)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .post_create(check)
            .runtime(Runtime::Tokio1)
            .build();
        let pool = pool.unwrap_or_else(|_| unreachable!("a pool with timeouts has a runtime"));
        let shared = SharedConnection::new({
            let pool = pool.clone();
            move || connect_one(pool.clone())
        });
        Ok(Self { pool, limit: ConnectionLimit::default(), shared, retries: RetryBudget::default() })
    }

    /// Runs one statement. The connection is held for no longer than that.
    pub(super) async fn query(
        &self,
        query: &'static str,
        params: &[&(dyn ToSql + Sync)],
        time: &TimeBudget,
    ) -> Result<Vec<Row>, StoreError> {
        self.retries.deposit();
        Ok(self.attempt(query, params, time).await?)
    }

    /// Runs a statement that leaves the same behind when it is run twice; once more, within the budget, where the connection
    /// was broken, as all are when PostgreSQL restarts.
    pub(super) async fn query_idempotent(
        &self,
        query: &'static str,
        params: &[&(dyn ToSql + Sync)],
        time: &TimeBudget,
    ) -> Result<Vec<Row>, StoreError> {
        self.retries.deposit();
        let outcome = match self.attempt(query, params, time).await {
            Err(CallError::Connection(_)) if self.retries.withdraw() => self.attempt(query, params, time).await,
            outcome => outcome,
        };
        Ok(outcome?)
    }

    async fn attempt(
        &self,
        query: &'static str,
        params: &[&(dyn ToSql + Sync)],
        time: &TimeBudget,
    ) -> Result<Vec<Row>, CallError> {
        let open = time.limit(STORE, self.shared.open()).await.map_err(CallError::Other)?;
        let lease = time.limit(STORE, self.lease(&open)).await.map_err(|error| {
            self.shared.invalidate(&open);
            CallError::Other(error)
        })?;
        let begun = Instant::now();
        let run = async {
            let client = lease.client();
            let rows = match client.prepare_cached(query).await {
                Ok(statement) => client.query(&statement, params).await,
                Err(error) => Err(error),
            };
            Ok(rows)
        };
        match time.limit(STORE, run).await {
            Ok(Ok(rows)) => {
                lease.return_to_pool();
                self.shared.has_answered();
                Ok(rows)
            }
            Ok(Err(error)) if ends_connections(&error) => {
                // The others are of the same server, unless they have been made since.
                if self.shared.invalidate(&open) {
                    self.pool.retain(|_, _| false);
                }
                Err(CallError::Connection(error.into()))
            }
            Ok(Err(error)) => Err(CallError::Other(error.into())),
            Err(error) => {
                self.shared.invalidate(&open);
                // Others may lead nowhere as well, and who is given one would wait as long, but for those in use.
                self.pool.retain(|_, metrics| metrics.last_used() < begun.elapsed());
                Err(CallError::Other(error))
            }
        }
    }

    /// A connection of the pool. Where PostgreSQL has no more to give, one of those that there are has to do, or that are
    /// being made.
    async fn lease(&self, open: &Open<()>) -> Result<Lease, StoreError> {
        let (mut slot, mut open) = (self.limit.take().await, open.clone());
        loop {
            match self.get().await? {
                Err(error) if is_out_of_connections(&error) => {
                    if self.pool.status().size == 0 {
                        self.shared.invalidate(&open);
                        open = self.shared.open().await?;
                    } else if self.limit.shrink() {
                        slot.forget();
                        slot = self.limit.take().await;
                    }
                }
                connection => {
                    let connection =
                        connection.map_err(|error| StoreError::unavailable(STORE, &error_chain(&error)))?;
                    return Ok(Lease { connection: Some(connection), _slot: slot });
                }
            }
        }
    }

    /// What the pool gives. Where a connection has to be made, a task of its own makes it: a request that has less time left
    /// than that takes would only ever begin. What comes too late for the request goes to the pool. Who waits for one of the
    /// others gives up the place in the queue together with the request.
    async fn get(&self) -> Result<Result<Object, PoolError>, StoreError> {
        let pool = self.pool.clone();
        let Status { size, max_size, .. } = pool.status();
        if size >= max_size {
            return Ok(pool.get().await);
        }
        let made = tokio::spawn(async move { pool.get().await }).await;
        made.map_err(|error| StoreError::unavailable(STORE, &error))
    }

    /// How the pool is used now.
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        let Status { max_size, size, available, waiting } = self.pool.status();
        let in_use = size.saturating_sub(available);
        let waiting = waiting + self.shared.waiting() + self.limit.waiting();
        PoolStats { idle: available, in_use, max: max_size, waiting, retries: self.retries.counts() }
    }
}

/// Has the pool make a connection, unless it has one.
async fn connect_one(pool: Pool) -> Result<(), StoreError> {
    match pool.get().await {
        // It has answered, and there are connections, if all of them in use.
        Err(error) if is_out_of_connections(&error) && pool.status().size > 0 => Ok(()),
        made => made.map(drop).map_err(|error| StoreError::unavailable(STORE, &error_chain(&error))),
    }
}

/// Whether others have all the connections that PostgreSQL gives.
fn is_out_of_connections(error: &PoolError) -> bool {
    matches!(error, PoolError::Backend(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS))
}

/// Whether no connection of the pool is to be used again: this one is no more, or PostgreSQL is about to end it, or says
/// that it takes no writes, as one does that is the primary no more.
fn ends_connections(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => *code == SqlState::READ_ONLY_SQL_TRANSACTION || code.code().starts_with("57P"),
        None => true,
    }
}

/// A connection that is closed, unless it is given back: where its user was dropped or got an error, it may be broken or
/// still owe an answer, and whoever got it next would wait for that.
struct Lease {
    connection: Option<Object>,
    /// Given up after the connection.
    _slot: OwnedSemaphorePermit,
}

impl Lease {
    fn client(&self) -> &Object {
        self.connection.as_ref().unwrap_or_else(|| unreachable!("a lease is given back once, at its end"))
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
