//! A Redis server of the test's own.

use std::process::{Child, Command, Stdio};

use redis::aio::MultiplexedConnection;

use super::{LONG, ReservedPort, eventually_some};

/// Returns the words of the command in docs/configuration.md that creates the user of Redis.
pub fn documented_redis_user() -> Vec<String> {
    let lines = include_str!("../../docs/configuration.md").lines();
    let found: Vec<_> = lines.filter(|line| line.starts_with("ACL SETUSER postern ")).collect();
    let [line] = found[..] else { panic!("one command: {found:?}") };
    line.split(' ').map(str::to_owned).collect()
}

/// A server with a directory of its own, empty at first.
pub struct PrivateRedis {
    server: Child,
    directory: tempfile::TempDir,
    port: ReservedPort,
    /// A connection for the test, made before any limit of connections.
    user_admin: Option<MultiplexedConnection>,
}

impl PrivateRedis {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = ReservedPort::new();
        let mut redis = Self { server: serve(&directory, &port, &[]), directory, port, user_admin: None };
        redis.connect().await;
        redis
    }

    /// Returns its URL, with a password if it wants one.
    pub fn url(&self, password: &str) -> String {
        let credentials = if password.is_empty() { String::new() } else { format!(":{password}@") };
        format!("redis://{credentials}{}/0", self.port.address)
    }

    /// Returns the URL of its Unix socket.
    pub fn socket_url(&self) -> String {
        format!("unix://{}", self.directory.path().join("redis.sock").display())
    }

    /// Creates the user of docs/configuration.md, and returns the URL for it.
    pub async fn create_documented_user(&self) -> String {
        let line = documented_redis_user();
        self.send(&line.iter().map(String::as_str).collect::<Vec<_>>()).await;
        format!("redis://postern:PASSWORD@{}/1", self.port.address)
    }

    /// Sends a command.
    pub async fn send(&self, command: &[&str]) {
        self.query::<redis::Value>(command).await;
    }

    /// Sends a command, and returns the reply.
    pub async fn query<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = self.user_admin.clone().expect("it is ready");
        redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await.expect("a reply")
    }

    /// Kills it and starts it again. It still has its saved data.
    pub async fn restart(&mut self, options: &[&str]) {
        self.stop();
        self.server = serve(&self.directory, &self.port, options);
        self.connect().await;
    }

    /// Waits until it replies, if only that it is loading.
    async fn connect(&mut self) {
        let client = redis::Client::open(self.url("")).expect("a URL");
        let connect = async || {
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            let pong = redis::cmd("PING").exec_async(&mut connection).await;
            let replies = pong.is_ok() || pong.is_err_and(|error| error.code() == Some("LOADING"));
            replies.then_some(connection)
        };
        self.user_admin = Some(eventually_some(LONG, "Redis starts", connect).await);
    }

    fn stop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(directory: &tempfile::TempDir, port: &ReservedPort, options: &[&str]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.port().to_string(), "--bind", "127.0.0.1"]);
    command.arg("--unixsocket").arg(directory.path().join("redis.sock"));
    command.args(["--save", "", "--enable-debug-command", "yes", "--dir"]).arg(directory.path()).args(options);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("redis-server is installed")
}
