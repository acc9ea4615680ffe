//! A PostgreSQL of one's own, which nobody else may miss.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::NoTls;

use crate::support::{sql, variable};

/// A server with a database and a role for the service, both `service`.
pub struct PrivatePostgres {
    server: Child,
    directory: tempfile::TempDir,
    port: u16,
}

impl PrivatePostgres {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // The server's user has to get through.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(variable("POSTERN_TEST_POSTGRES_DATA")).arg(directory.path());
        let copied = copy.status().expect("cp is there");
        assert!(copied.success());
        let port = free_port();
        let data = data(&directory);
        let postgres = Self { server: serve(&data, port), directory, port };
        postgres.is_ready().await;
        sql(&postgres.user_admin(), "CREATE ROLE service LOGIN PASSWORD 'first'").await;
        sql(&postgres.user_admin(), "CREATE DATABASE service OWNER service").await;
        postgres
    }

    /// The URL of the service's database, by a password of its role.
    pub fn url(&self, password: &str) -> String {
        format!("postgres://service:{password}@127.0.0.1:{}/service", self.port)
    }

    /// The URL of the superuser.
    pub fn user_admin(&self) -> String {
        format!("postgres://postern:postern@127.0.0.1:{}/postgres", self.port)
    }

    /// The same, in the service's database.
    pub fn administration_of_service(&self) -> String {
        format!("postgres://postern:postern@127.0.0.1:{}/service", self.port)
    }

    /// Ends what the service has open, and waits until it counts no more.
    pub async fn end_connections(&self) {
        let (client, connection) = tokio_postgres::connect(&self.user_admin(), NoTls).await.expect("it answers");
        tokio::spawn(connection);
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'service'";
        while !client.query(end, &[]).await.expect("rows").is_empty() {}
    }

    /// Ends the server as a crash would, and starts it again, as a standby of nobody if there is a setting for that.
    pub async fn restart(&mut self, standby: Option<&str>) {
        self.stop();
        let signal = data(&self.directory).join("standby.signal");
        match standby {
            Some(setting) => {
                fs::write(&signal, "").expect("ours");
                // PostgreSQL wants it to be its own.
                let owner = Command::new("chown").arg("--reference").arg(data(&self.directory)).arg(&signal).status();
                assert!(owner.expect("chown is there").success());
                fs::write(data(&self.directory).join("postgresql.auto.conf"), setting).expect("ours");
            }
            None => drop(fs::remove_file(&signal)),
        }
        self.server = serve(&data(&self.directory), self.port);
        if standby.is_none() {
            self.is_ready().await;
        } else {
            self.listens();
        }
    }

    async fn is_ready(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while tokio_postgres::connect(&self.user_admin(), NoTls).await.is_err() {
            assert!(Instant::now() < deadline, "it does not start");
            tokio::task::yield_now().await;
        }
    }

    fn listens(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "it does not start");
        }
    }

    /// At once, without a checkpoint.
    fn stop(&mut self) {
        let pid = Pid::from_raw(self.server.id().cast_signed()).expect("a process");
        let _ = kill_process(pid, Signal::QUIT);
        let _ = self.server.wait();
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn data(directory: &tempfile::TempDir) -> PathBuf {
    let name = PathBuf::from(variable("POSTERN_TEST_POSTGRES_DATA"));
    directory.path().join(name.file_name().expect("a name"))
}

fn serve(data: &std::path::Path, port: u16) -> Child {
    let words = variable("POSTERN_TEST_POSTGRES");
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().expect("a command"));
    command.args(words).arg("-D").arg(data).args(["-p", &port.to_string()]);
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "shared_buffers=16MB"] {
        command.args(["-c", setting]);
    }
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("PostgreSQL is installed")
}

/// A port that nobody has, for now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}
