//! Session stores that lose their last writes, as after a restore from an old copy, or that an earlier version wrote.

use postern::model::UserId;

use crate::support::{Embedded, PostgresRedis, redis_connection};

/// A backend whose session store can be rolled back.
pub trait SessionRollback {
    /// Returns the sessions of a user.
    fn save_sessions(&self, user: UserId) -> impl Future<Output = SavedSessions> + Send;

    /// Restores those sessions.
    fn restore_sessions(&self, saved: &SavedSessions) -> impl Future<Output = ()> + Send;

    /// Replaces the stored user agent of every session of a user.
    fn store_user_agent(&self, user: UserId, user_agent: &str) -> impl Future<Output = ()> + Send;
}

/// The sessions of a user, as a store keeps them.
pub enum SavedSessions {
    /// The rows.
    Embedded(Vec<Vec<rusqlite::types::Value>>),
    /// The keys, each as `DUMP` gives it.
    Redis(Vec<(String, Vec<u8>)>),
}

impl SessionRollback for Embedded {
    async fn save_sessions(&self, user: UserId) -> SavedSessions {
        let file = self.file();
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
            self.file().execute(&insert, rusqlite::params_from_iter(row)).expect("valid SQL");
        }
    }

    async fn store_user_agent(&self, user: UserId, user_agent: &str) {
        let update = "UPDATE sessions SET user_agent = ? WHERE user = ?";
        self.file().execute(update, rusqlite::params![user_agent, user.0.as_bytes()]).expect("valid SQL");
    }
}

impl SessionRollback for PostgresRedis {
    async fn save_sessions(&self, user: UserId) -> SavedSessions {
        let mut redis = redis_connection(&self.redis).await;
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
        let mut redis = redis_connection(&self.redis).await;
        for (key, dump) in keys {
            let mut restore = redis::cmd("RESTORE");
            restore.arg(key).arg(3_600_000).arg(dump).arg("REPLACE");
            restore.exec_async(&mut redis).await.expect("a dump");
        }
    }

    async fn store_user_agent(&self, user: UserId, user_agent: &str) {
        let mut redis = redis_connection(&self.redis).await;
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(format!("session:{{{user}}}:*")).query_async(&mut redis).await.expect("keys");
        for key in keys {
            let mut set = redis::cmd("HSET");
            set.arg(key).arg("user_agent").arg(user_agent).exec_async(&mut redis).await.expect("a session");
        }
    }
}
