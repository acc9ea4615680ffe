//! Opens and checks the connections of the pool.

use std::{
    sync::{
        Once,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::{ClientWrapper, Manager, ManagerConfig, RecyclingMethod};
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_postgres::Client;
use tracing::{error, info, warn};

use super::{
    connection_limit::Counted,
    connector::PostgresConnector,
    error::SchemaError,
    pooler::{check_not_pooled, leave_statement},
    schema::{DatabaseEncoding, check_schema_of},
    url::{CONNECT_TIMEOUT, PostgresUrl},
};

/// Opens the connections of the pool, and checks each before its first use. An error that a retry cannot mend is logged once.
pub(super) struct PoolManager {
    manager: Manager,
    connector: PostgresConnector,
    set_up: String,
    /// The error of the last check, unless it was an outage.
    fault: Mutex<Option<String>>,
    encoding_warning: Once,
    /// Connections that are open, but not checked yet. The pool does not count them.
    unchecked: AtomicUsize,
    /// Whether the next connection first [leaves a statement](leave_statement).
    must_leave_statement: AtomicBool,
}

impl PoolManager {
    /// Prepares connections whose statements PostgreSQL cancels after `statement_timeout`.
    pub(super) fn new(url: &PostgresUrl, connector: PostgresConnector, statement_timeout: Duration) -> Self {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        Self {
            manager: Manager::from_connect(url.config.clone(), connector.clone(), config),
            connector,
            // Planning a page of a list for its parameters takes 0.1 to 0.2 ms, as long as reading it (scripts/measure-admin-lists),
            // and every statement is written for one plan.
            set_up: format!(
                "SET statement_timeout = {}; SET plan_cache_mode = force_generic_plan",
                statement_timeout.as_millis()
            ),
            fault: Mutex::default(),
            encoding_warning: Once::new(),
            unchecked: AtomicUsize::new(0),
            must_leave_statement: AtomicBool::new(false),
        }
    }

    /// Returns whether a connection is open, but not checked yet.
    pub(super) fn has_unchecked(&self) -> bool {
        self.unchecked.load(Ordering::Relaxed) > 0
    }

    /// Makes the next connection reveal a connection pooler. The others check for one too, but the first client of a pooler
    /// cannot recognise it.
    pub(super) fn reveal_pooler(&self) {
        self.must_leave_statement.store(true, Ordering::Relaxed);
    }

    /// Makes all connections prepare their statements again.
    pub(super) fn forget_statements(&self) {
        self.manager.statement_caches.clear();
    }

    /// Opens a connection. If its database is not usable, reloads the URL, which may name the wrong one, and tries once more.
    async fn open(&self) -> Result<ClientWrapper, SchemaError> {
        let used = self.connector.endpoint();
        match self.try_open().await {
            Err(error) if !error.is_outage() => {
                let reloaded = timeout(CONNECT_TIMEOUT, self.connector.has_newer_than(&used)).await;
                if reloaded == Ok(true) { self.try_open().await } else { Err(error) }
            }
            outcome => outcome,
        }
    }

    async fn try_open(&self) -> Result<ClientWrapper, SchemaError> {
        if self.must_leave_statement.load(Ordering::Relaxed) {
            let leaving = timeout(CONNECT_TIMEOUT, Box::pin(leave_statement(&self.connector)));
            leaving.await.unwrap_or(Err(SchemaError::NoResponse))?;
            self.must_leave_statement.store(false, Ordering::Relaxed);
        }
        let opening = timeout(CONNECT_TIMEOUT, managed::Manager::create(&self.manager));
        let mut client = opening.await.map_err(|_| SchemaError::NoResponse)??;
        let _unchecked = Counted::new(&self.unchecked);
        let checked =
            timeout(CONNECT_TIMEOUT, Box::pin(self.check(&client))).await.unwrap_or(Err(SchemaError::NoResponse));
        let encoding = checked.inspect_err(|_| {
            // The pool detaches only what it has got: `manager` would keep an entry for each failed attempt.
            managed::Manager::detach(&self.manager, &mut client);
        })?;
        if encoding == DatabaseEncoding::SqlAscii {
            self.encoding_warning.call_once(|| {
                warn!("the database has the encoding SQL_ASCII, so PostgreSQL does not check text; expected UTF8");
            });
        }
        Ok(client)
    }

    async fn check(&self, client: &Client) -> Result<DatabaseEncoding, SchemaError> {
        client.batch_execute(&self.set_up).await?;
        let unpooled = check_not_pooled(client).await;
        if matches!(unpooled, Err(SchemaError::Pooled)) {
            // The next connection may be another one of the pooler.
            self.reveal_pooler();
        }
        unpooled?;
        check_schema_of(client).await
    }

    /// Logs an error that a retry cannot mend, and its end.
    fn report(&self, outcome: Result<(), &SchemaError>) {
        let mut fault = self.fault.lock();
        match outcome {
            Err(error) if error.is_outage() => {}
            Err(error) => {
                let error = error.to_string();
                if fault.as_ref() != Some(&error) {
                    error!(error, "PostgreSQL is not usable");
                    *fault = Some(error);
                }
            }
            Ok(()) => {
                if fault.take().is_some() {
                    info!("PostgreSQL is usable again");
                }
            }
        }
    }
}

impl managed::Manager for PoolManager {
    type Type = ClientWrapper;
    type Error = SchemaError;

    async fn create(&self) -> Result<ClientWrapper, SchemaError> {
        let opened = self.open().await;
        self.report(opened.as_ref().map(|_| ()));
        opened
    }

    async fn recycle(&self, client: &mut ClientWrapper, metrics: &Metrics) -> RecycleResult<SchemaError> {
        managed::Manager::recycle(&self.manager, client, metrics).await.map_err(|error| match error {
            RecycleError::Message(message) => RecycleError::Message(message),
            RecycleError::Backend(error) => RecycleError::Backend(error.into()),
        })
    }

    fn detach(&self, client: &mut ClientWrapper) {
        managed::Manager::detach(&self.manager, client);
    }
}
