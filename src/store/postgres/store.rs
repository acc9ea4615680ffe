//! The store.

use std::{sync::Arc, time::Duration};

use super::{access::PostgresAccess, error::SchemaError, url::PostgresUrl, users_by_id::UsersById};
use crate::{metrics::PoolStats, reloading::FileWatch, store::batch::Batcher};

/// How many look-ups of users run at once. With two, one is read while PostgreSQL works on the other.
const LOOKUP_LANES: usize = 2;

/// Users and audit events in PostgreSQL.
pub struct PostgresStore {
    pub(super) access: Arc<PostgresAccess>,
    pub(super) users_by_id: Batcher<UsersById>,
}

impl PostgresStore {
    /// Creates a store without opening a connection yet. PostgreSQL cancels a statement that takes longer than
    /// `statement_timeout`: its caller has given up, and it would otherwise occupy a connection and take effect late.
    ///
    /// # Errors
    /// Returns [`SchemaError`] if the URL requires TLS and it cannot be set up.
    pub fn new(url: &PostgresUrl, statement_timeout: Duration) -> Result<Self, SchemaError> {
        let access = Arc::new(PostgresAccess::new(url, statement_timeout)?);
        let users_by_id = Batcher::new(UsersById(Arc::clone(&access)), LOOKUP_LANES);
        Ok(Self { access, users_by_id })
    }

    /// Makes the first connection reveal a connection pooler in transaction mode, as
    /// [`check_schema`](super::check_schema) does. For a start without that check.
    #[must_use]
    pub fn revealing_pooler(self) -> Self {
        self.access.reveal_pooler();
        self
    }

    /// Returns a watch that checks the file of the URL every ten seconds.
    #[must_use]
    pub fn watch_url_file(&self) -> FileWatch {
        self.access.watch_url_file()
    }

    /// Returns the current use of the pool.
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        let stats = self.access.pool_stats();
        PoolStats { waiting: stats.waiting + self.users_by_id.waiting(), ..stats }
    }
}
