//! Commands that end, and the stores that the program is started on.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
};

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::{Ended, LONG, PASSWORD, Postern, empty_schema, redis_url, variable, within};

impl Postern {
    /// Starts on an empty schema of the shared PostgreSQL, and on the shared Redis; without keys.
    pub async fn on_servers() -> Self {
        Self::on(empty_schema().await, redis_url())
    }

    /// Prepares the program for these stores, with its keys in `keys`.
    pub fn on(database: impl Into<String>, redis: impl Into<String>) -> Self {
        Self::new().with("DATABASE_URL", database).with("REDIS_URL", redis).with("POSTERN_KEYS_DIR", "keys")
    }

    /// The same by TLS, with keys.
    pub async fn on_servers_by_tls() -> Self {
        let database = format!("{}&sslmode=require", empty_schema().await);
        Self::on(database, variable("POSTERN_TEST_REDIS_TLS_URL")).with_keys().await
    }

    /// With keys and a schema.
    pub async fn on_migrated_servers() -> Self {
        Self::on_servers().await.with_keys().await.migrated().await
    }

    /// One on the embedded store and one on PostgreSQL and Redis, each ready to serve.
    pub async fn on_each_backend() -> [Self; 2] {
        [Self::new(), Self::on_migrated_servers().await]
    }

    /// Generates its keys.
    pub async fn with_keys(self) -> Self {
        self.run(&["keys", "generate"]).await.expect_done();
        self
    }

    /// Migrates its database.
    pub async fn migrated(self) -> Self {
        self.run(&["migrate"]).await.expect_done();
        self
    }

    /// Returns a path in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        let output = within(LONG, "the command ends", self.command(arguments).output()).await;
        Ended::of(&output.expect("it starts"))
    }

    /// Runs a command that reads this on its standard input.
    pub async fn run_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may end without reading.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        Ended::of(&within(LONG, "the command ends", child.wait_with_output()).await.expect("it started"))
    }
}

impl Ended {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It succeeded and complained of nothing; returns what it printed.
    #[track_caller]
    pub fn expect_done(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self.stdout
    }

    #[track_caller]
    pub fn expect_json(self) -> Value {
        serde_json::from_str(&self.expect_done()).expect("JSON")
    }

    /// It failed with this code, printed nothing, and gave this reason.
    #[track_caller]
    pub fn expect_failed(self, code: i32, reason: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        assert!(self.stderr.contains(reason), "{self:?}");
        assert!(!self.stderr.contains(PASSWORD), "{self:?}");
    }
}
