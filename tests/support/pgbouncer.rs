//! A PgBouncer of the test's own.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use tokio::net::TcpStream;

use super::{LONG, ReservedPort, eventually, missing, variable};

/// PgBouncer in front of a PostgreSQL.
pub struct PgBouncer {
    server: Child,
    directory: tempfile::TempDir,
    port: ReservedPort,
    database_url: String,
}

impl PgBouncer {
    /// Starts it in front of the PostgreSQL at this URL. Returns `None`, and reports that, if it is not installed.
    pub async fn start(database_url: &str, pool_mode: &str) -> Option<Self> {
        if variable("POSTERN_TEST_PGBOUNCER").is_empty() {
            missing("pgbouncer", "PgBouncer is not installed");
            return None;
        }
        let (directory, port) = (tempfile::tempdir().expect("a temporary directory"), ReservedPort::new());
        // The user that it runs as needs access.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        let server = serve(&directory, &port, database_url, pool_mode);
        let pgbouncer = Self { server, directory, port, database_url: database_url.to_owned() };
        pgbouncer.listens().await;
        Some(pgbouncer)
    }

    /// Returns the URL of the database, with the address of PgBouncer.
    pub fn url(&self) -> String {
        let (_, _, port) = parts(&self.database_url);
        self.database_url.replace(&format!(":{port}/"), &format!(":{}/", self.port.port()))
    }

    /// Kills it. Its port stays reserved.
    pub fn stop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }

    /// Kills it, and starts it in another mode.
    pub async fn restart(&mut self, pool_mode: &str) {
        self.stop();
        self.server = serve(&self.directory, &self.port, &self.database_url, pool_mode);
        self.listens().await;
    }

    async fn listens(&self) {
        let accepts = async || TcpStream::connect(self.port.address).await.is_ok();
        eventually(LONG, "PgBouncer listens", accepts).await;
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(directory: &tempfile::TempDir, port: &ReservedPort, database_url: &str, pool_mode: &str) -> Child {
    let (configuration, users) = (directory.path().join("pgbouncer.ini"), directory.path().join("users.txt"));
    let (user, password, server_port) = parts(database_url);
    fs::write(&users, format!("\"{user}\" \"{password}\"\n")).expect("ours");
    let text = format!(
        "[databases]\n* = host=127.0.0.1 port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n\
         unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = {pool_mode}\n",
        port.port(),
        users.display(),
    );
    fs::write(&configuration, text).expect("ours");
    let words = variable("POSTERN_TEST_PGBOUNCER");
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().expect("a command"));
    command.args(words).arg(&configuration).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("PgBouncer is installed")
}

/// Returns user, password and port of `postgres://user:password@host:port/database`.
fn parts(url: &str) -> (&str, &str, &str) {
    let split = || {
        let (credentials, address) = url.strip_prefix("postgres://")?.split_once('@')?;
        let (user, password) = credentials.split_once(':')?;
        let (_, port) = address.split_once('/')?.0.split_once(':')?;
        Some((user, password, port))
    };
    split().unwrap_or_else(|| panic!("a URL with user, password and port: {url}"))
}
