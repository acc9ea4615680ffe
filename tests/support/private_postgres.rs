//! A PostgreSQL server of the test's own.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;

use super::{LONG, ReservedPort, eventually, postgres_client, sql, variable};

/// A server with a database and a role for the service, both `service`.
pub struct PrivatePostgres {
    server: Child,
    directory: tempfile::TempDir,
    port: ReservedPort,
}

impl PrivatePostgres {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // The user that the server runs as needs access.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(variable("POSTERN_TEST_POSTGRES_DATA")).arg(directory.path());
        let copied = copy.status().expect("cp is there");
        assert!(copied.success());
        let port = ReservedPort::new();
        let data = data(&directory);
        let postgres = Self { server: serve(&data, &port), directory, port };
        postgres.is_ready().await;
        sql(&postgres.user_admin(), "CREATE ROLE service LOGIN PASSWORD 'first'").await;
        sql(&postgres.user_admin(), "CREATE DATABASE service OWNER service").await;
        postgres
    }

    /// Returns the URL of the service's database, with this password of its role.
    pub fn url(&self, password: &str) -> String {
        self.url_of("service", password)
    }

    /// Returns the URL of another database for the role of the service.
    pub fn url_of(&self, database: &str, password: &str) -> String {
        format!("postgres://service:{password}@127.0.0.1:{}/{database}", self.port.port())
    }

    /// Creates a database of the service with this encoding.
    pub async fn create_database(&self, name: &str, encoding: &str) {
        let options = format!("OWNER service ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
        sql(&self.user_admin(), &format!("CREATE DATABASE {name} {options}")).await;
    }

    /// Returns the URL of the superuser.
    pub fn user_admin(&self) -> String {
        format!("postgres://postern:postern@127.0.0.1:{}/postgres", self.port.port())
    }

    /// Returns the URL of the superuser in the service's database.
    pub fn administration_of_service(&self) -> String {
        format!("postgres://postern:postern@127.0.0.1:{}/service", self.port.port())
    }

    /// Switches TLS on with this certificate and its key. The service then needs TLS and, with an authority, a certificate of it
    /// for the name of its role instead of the password.
    pub async fn switch_tls_on(&self, certificate: &Path, key: &Path, clients: Option<&Path>) {
        let data = data(&self.directory);
        let copy = |from: &Path, name: &str| {
            fs::copy(from, data.join(name)).expect("a copy");
            // PostgreSQL must own its key.
            let owner = Command::new("chown").arg("--reference").arg(&data).arg(data.join(name)).status();
            assert!(owner.expect("chown is there").success());
        };
        copy(certificate, "server.crt");
        copy(key, "server.key");
        copy(clients.unwrap_or(certificate), "clients.crt");
        let rules = fs::read_to_string(data.join("pg_hba.conf")).expect("ours");
        let method = if clients.is_some() { "cert" } else { "scram-sha-256" };
        let rules = format!("hostssl all service 127.0.0.1/32 {method}\nhostnossl all service all reject\n{rules}");
        fs::write(data.join("pg_hba.conf"), rules).expect("ours");
        sql(&self.user_admin(), "ALTER SYSTEM SET ssl_ca_file = 'clients.crt'").await;
        sql(&self.user_admin(), "ALTER SYSTEM SET ssl = on").await;
        sql(&self.user_admin(), "SELECT pg_reload_conf()").await;
        let is_on = async || {
            let client = postgres_client(&self.user_admin()).await;
            let row = client.query_one("SELECT current_setting('ssl')", &[]).await.expect("a row");
            row.get::<_, &str>(0) == "on"
        };
        eventually(LONG, "TLS is on", is_on).await;
    }

    /// Ends the connections of the service, and waits until they count no more.
    pub async fn end_connections(&self) {
        let client = postgres_client(&self.user_admin()).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'service'";
        let is_done = async || client.query(end, &[]).await.expect("rows").is_empty();
        eventually(LONG, "the service has no connections", is_done).await;
    }

    /// Stops the server like a crash, and starts it again; with a setting, as a standby without a primary.
    pub async fn restart(&mut self, standby: Option<&str>) {
        self.stop();
        let signal = data(&self.directory).join("standby.signal");
        match standby {
            Some(setting) => {
                fs::write(&signal, "").expect("ours");
                // PostgreSQL must own it.
                let owner = Command::new("chown").arg("--reference").arg(data(&self.directory)).arg(&signal).status();
                assert!(owner.expect("chown is there").success());
                fs::write(data(&self.directory).join("postgresql.auto.conf"), setting).expect("ours");
            }
            None => drop(fs::remove_file(&signal)),
        }
        self.server = serve(&data(&self.directory), &self.port);
        if standby.is_none() {
            self.is_ready().await;
        } else {
            self.listens().await;
        }
    }

    async fn is_ready(&self) {
        let url = self.user_admin();
        let responds = async || tokio_postgres::connect(&url, NoTls).await.is_ok();
        eventually(LONG, "PostgreSQL starts", responds).await;
    }

    async fn listens(&self) {
        let accepts = async || TcpStream::connect(self.port.address).await.is_ok();
        eventually(LONG, "PostgreSQL listens", accepts).await;
    }

    /// Stops it at once, without a checkpoint.
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

fn serve(data: &Path, port: &ReservedPort) -> Child {
    let words = variable("POSTERN_TEST_POSTGRES");
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().expect("a command"));
    command.args(words).arg("-D").arg(data).args(["-p", &port.port().to_string()]);
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "shared_buffers=16MB"] {
        command.args(["-c", setting]);
    }
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("PostgreSQL is installed")
}
