//! The two backends. Each test has stores of its own, empty at first.

use std::{sync::Arc, time::Duration};

use postern::{
    clock::{Clock, ManualClock},
    rate_limit::AttemptStores,
    store::{
        AuditReader, AuditStore, SessionStore, UserAdminStore, UserDirectory, UserStore,
        memory::MemoryAttempts,
        postgres::{self, PostgresStore},
        redis::RedisStore,
        sqlite::DataDirectory,
    },
};

use super::{empty_schema, redis_url};

/// Storage of users and sessions for one test, empty at first.
pub trait Backend: Sized + Send + Sync {
    /// Creates it.
    async fn empty() -> Self;

    /// Opens the stores as one server does. Two calls give the stores of two servers.
    fn open(&self, clock: Arc<ManualClock>) -> impl Future<Output = Stores> + Send;
}

/// The stores of a server.
pub struct Stores {
    pub users: Arc<dyn UserStore>,
    pub sessions: Arc<dyn SessionStore>,
    pub attempts: AttemptStores,
    pub audit: Arc<dyn AuditStore>,
    pub audit_reader: Arc<dyn AuditReader>,
    pub directory: Arc<dyn UserDirectory>,
    pub user_admin: Arc<dyn UserAdminStore>,
}

/// The embedded store in a directory of its own.
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
        // The lock is dropped, so that a test can open two servers on one directory.
        let lock = directory.lock().expect("nobody has the lock");
        let store = Arc::new(directory.store(&lock, Arc::clone(&clock) as Arc<dyn Clock>).expect("the store opens"));
        let attempts = AttemptStores { shared: None, local: Arc::new(MemoryAttempts::new(clock)) };
        Stores {
            users: store.clone(),
            sessions: store.clone(),
            attempts,
            audit: store.clone(),
            audit_reader: store.clone(),
            directory: store.clone(),
            user_admin: store,
        }
    }
}

/// A schema of its own in the shared PostgreSQL, and the shared Redis, where all keys contain ids of their test.
pub struct PostgresRedis {
    pub database: String,
    pub redis: String,
}

impl PostgresRedis {
    pub async fn migrated() -> Self {
        let database = empty_schema().await;
        postgres::migrate(&database.parse().expect("a URL"), &|_| {}).await.expect("an empty schema can be migrated");
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
        Stores {
            users: users.clone(),
            sessions: redis,
            attempts,
            audit: users.clone(),
            audit_reader: users.clone(),
            directory: users.clone(),
            user_admin: users,
        }
    }
}
