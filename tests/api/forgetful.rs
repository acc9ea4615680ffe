//! Session stores that forget their last writes, as one does that comes back from an old copy.

use postern::model::UserId;

use crate::support::{Embedded, PostgresRedis};

/// A backend whose session store can be brought back to what it was.
pub trait Forgetful {
    /// What the session store has of a user.
    fn save_sessions(&self, user: UserId) -> impl Future<Output = SavedSessions> + Send;

    /// Brings that back.
    fn restore_sessions(&self, saved: &SavedSessions) -> impl Future<Output = ()> + Send;
}

/// What a session store had of a user.
pub enum SavedSessions {
    /// The rows.
    Embedded(Vec<Vec<rusqlite::types::Value>>),
    /// The keys, each as `DUMP` gives it.
    Redis(Vec<(String, Vec<u8>)>),
}

impl Forgetful for Embedded {
    async fn save_sessions(&self, user: UserId) -> SavedSessions {
        let file = file(self);
        let mut statement = file.prepare("SELECT * FROM sessions WHERE user = ?").expect("valid SQL");
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| (0..columns).map(|column| row.get(column)).collect();
        let rows = statement.query_map([user.0.as_bytes()], row).expect("rows");
        SavedSessions::Embedded(rows.collect::<Result<_, _>>().expect("rows"))
    }

    async fn restore_sessions(&self, saved: &SavedSessions) {
        let SavedSessions::Embedded(rows) = saved else { panic!("saved elsewhere") };
        for row in rows {
            let places = vec!["?"; row.len()].join(", ");
            let insert = format!("INSERT OR REPLACE INTO sessions VALUES ({places})");
            file(self).execute(&insert, rusqlite::params_from_iter(row)).expect("valid SQL");
        }
    }
}

impl Forgetful for PostgresRedis {
    async fn save_sessions(&self, user: UserId) -> SavedSessions {
        let mut redis = redis(self).await;
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(format!("*{{{user}}}*")).query_async(&mut redis).await.expect("keys");
        let mut saved = Vec::new();
        for key in keys {
            let dump = redis::cmd("DUMP").arg(&key).query_async(&mut redis).await.expect("a key");
            saved.push((key, dump));
        }
        SavedSessions::Redis(saved)
    }

    async fn restore_sessions(&self, saved: &SavedSessions) {
        let SavedSessions::Redis(keys) = saved else { panic!("saved elsewhere") };
        let mut redis = redis(self).await;
        for (key, dump) in keys {
            let mut restore = redis::cmd("RESTORE");
            restore.arg(key).arg(3_600_000).arg(dump).arg("REPLACE");
            restore.exec_async(&mut redis).await.expect("a dump");
        }
    }
}

/// A connection beside those of the store.
fn file(backend: &Embedded) -> rusqlite::Connection {
    rusqlite::Connection::open(backend.0.path().join("postern.db")).expect("the file of the store")
}

async fn redis(backend: &PostgresRedis) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(backend.redis.as_str()).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("Redis answers")
}
