//! The two backends: stores that are empty at first, for one test alone.

use std::{sync::Arc, time::Duration};

use postern::{
    clock::{Clock, ManualClock},
    rate_limit::AttemptStores,
    store::{
        AuditStore, SessionStore, UserStore,
        memory::MemoryAttempts,
        postgres::{self, PostgresStore},
        redis::RedisStore,
        sqlite::DataDirectory,
    },
};

use super::{empty_schema, redis_url};

/// A place where users and sessions are kept, empty at first and for one test alone.
pub trait Backend: Sized + Send + Sync {
    /// A place of its own.
    async fn empty() -> Self;

    /// Stores on it, as one server opens them. Called twice, it gives what two servers have.
    fn open(&self, clock: Arc<ManualClock>) -> impl Future<Output = Stores> + Send;
}

/// What a server keeps its accounts in.
pub struct Stores {
    pub users: Arc<dyn UserStore>,
    pub sessions: Arc<dyn SessionStore>,
    pub attempts: AttemptStores,
    pub audit: Arc<dyn AuditStore>,
}

/// A directory of its own.
pub struct Embedded(pub tempfile::TempDir);

impl Embedded {
    /// Opens a connection to the file of the store, beside those of the store.
    pub fn file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.0.path().join("postern.db")).expect("the file of the store")
    }
}

impl Backend for Embedded {
    async fn empty() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    async fn open(&self, clock: Arc<ManualClock>) -> Stores {
        let directory = DataDirectory::open(self.0.path()).expect("a directory");
        // Nobody keeps the lock: two servers are tried on one directory, which only the process would refuse.
        let lock = directory.lock().expect("nobody has the lock");
        let store = Arc::new(directory.store(&lock, Arc::clone(&clock) as Arc<dyn Clock>).expect("the store opens"));
        let attempts = AttemptStores { shared: None, local: Arc::new(MemoryAttempts::new(clock)) };
        Stores { users: store.clone(), sessions: store.clone(), attempts, audit: store }
    }
}

/// A schema of its own in PostgreSQL, and a Redis that others use too: no key of theirs has an id of ours.
pub struct PostgresRedis {
    pub database: String,
    pub redis: String,
}

impl PostgresRedis {
    pub async fn migrated() -> Self {
        let database = empty_schema().await;
        postgres::migrate(&database.parse().expect("a URL")).await.expect("an empty schema can be migrated");
        Self { database, redis: redis_url() }
    }
}

impl Backend for PostgresRedis {
    async fn empty() -> Self {
        Self::migrated().await
    }

    async fn open(&self, clock: Arc<ManualClock>) -> Stores {
        let users = Arc::new(
            PostgresStore::new(&self.database.parse().expect("a URL"), Duration::from_mins(1)).expect("a pool"),
        );
        let redis = RedisStore::new(&self.redis.parse().expect("a URL"), Arc::clone(&clock) as Arc<dyn Clock>)
            .expect("an address");
        let redis = Arc::new(redis);
        let attempts = AttemptStores { shared: Some(redis.clone()), local: Arc::new(MemoryAttempts::new(clock)) };
        Stores { users: users.clone(), sessions: redis, attempts, audit: users }
    }
}
