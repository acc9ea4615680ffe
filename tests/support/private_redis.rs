//! A Redis of one's own, which nobody else may miss.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use redis::aio::MultiplexedConnection;

/// A server in a directory of its own, empty at first.
pub struct PrivateRedis {
    server: Child,
    directory: tempfile::TempDir,
    port: u16,
    /// A connection that is there whatever becomes of others.
    user_admin: Option<MultiplexedConnection>,
}

impl PrivateRedis {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.expect("a free port").port();
        let mut redis = Self { server: serve(&directory, port, &[]), directory, port, user_admin: None };
        redis.is_ready().await;
        redis
    }

    /// Its URL, by a password if it asks for one.
    pub fn url(&self, password: &str) -> String {
        let credentials = if password.is_empty() { String::new() } else { format!(":{password}@") };
        format!("redis://{credentials}127.0.0.1:{}/0", self.port)
    }

    /// Has it do something.
    pub async fn send(&self, command: &[&str]) {
        let mut connection = self.user_admin.clone().expect("it is ready");
        redis::cmd(command[0]).arg(&command[1..]).exec_async(&mut connection).await.expect("it does so");
    }

    /// Kills it and starts it again; it remembers what it was told to save.
    pub async fn restart(&mut self, options: &[&str]) {
        self.stop();
        self.server = serve(&self.directory, self.port, options);
        self.is_ready().await;
    }

    /// Waits until it answers, if only that it cannot yet.
    async fn is_ready(&mut self) {
        let client = redis::Client::open(self.url("")).expect("a URL");
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            assert!(Instant::now() < deadline, "it does not start");
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
                let pong = redis::cmd("PING").exec_async(&mut connection).await;
                if pong.is_ok() || pong.is_err_and(|error| error.code() == Some("LOADING")) {
                    self.user_admin = Some(connection);
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
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

fn serve(directory: &tempfile::TempDir, port: u16, options: &[&str]) -> Child {
    Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--enable-debug-command",
            "yes",
            "--dir",
        ])
        .arg(directory.path())
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}
