//! A Django project with a database of its own, and its server.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    process::{Child, Command},
};

use crate::{
    page,
    support::{Ended, ReservedPort, empty_database, eventually, missing, within},
};

/// The limit of a step of Django, the installation of its packages included.
const STEP: Duration = Duration::from_mins(2);

/// A project: a copy of `tests/django/project` with the application of the page.
pub struct Project {
    directory: tempfile::TempDir,
    settings: &'static str,
    /// The URL of its database.
    pub database: String,
    cheap_hashes: bool,
}

impl Project {
    /// Creates the project that Postern replaces, with a user model of its own.
    pub async fn custom(users: &Value) -> Option<Self> {
        Self::create("custom_settings", users, false).await
    }

    /// Creates the same with hashes that cost little.
    pub async fn cheap(users: &Value) -> Option<Self> {
        Self::create("custom_settings", users, true).await
    }

    /// Creates a project with Django's own user model and django-allauth.
    pub async fn stock(users: &Value) -> Option<Self> {
        Self::create("stock_settings", users, false).await
    }

    /// Returns `None`, and reports that, if Django cannot be installed.
    async fn create(settings: &'static str, users: &Value, cheap_hashes: bool) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = empty_database().await;
        let project = Self { directory, settings, database, cheap_hashes };
        let found = project.run(&["python", "-c", "import django"], "").await;
        if found.code != Some(0) {
            missing("django", &format!("its packages cannot be installed from PyPI: {}", found.stderr.trim()));
            return None;
        }
        project.copy(&root().join("tests/django/project"), "");
        project.add_application_of_the_page();
        project.run(&["python", "create_users.py"], &users.to_string()).await.expect_done();
        Some(project)
    }

    /// Copies a directory of the repository.
    fn copy(&self, from: &Path, to: &str) {
        fs::create_dir_all(self.path(to)).expect("a directory");
        for entry in fs::read_dir(from).expect("a directory") {
            let entry = entry.expect("an entry").path();
            let name = entry.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
            let to = Path::new(to).join(name);
            let to = to.to_str().expect("UTF-8");
            if entry.is_dir() {
                self.copy(&entry, to);
            } else {
                fs::copy(&entry, self.path(to)).expect("a copy");
            }
        }
    }

    /// Adds `postern_accounts`, as the page shows it.
    fn add_application_of_the_page(&self) {
        let python = |text: &str| page::block("python", text);
        self.write("postern_accounts/__init__.py", "");
        self.write("postern_accounts/models.py", &python("class PosternAccount"));
        self.write("postern_accounts/authentication.py", &python("class PosternAuthentication"));
        self.write("postern_accounts/management/commands/restore_from_postern.py", &python("class Command"));
        self.check_tokens_of("http://127.0.0.1:1");
    }

    /// Verifies the tokens of this Postern.
    pub fn check_tokens_of(&self, postern: &str) {
        self.write("postern_accounts/tokens.py", &page::token_check(postern));
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Prepares a program of `scripts/with-python --django`.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(root().join("scripts/with-python"));
        command.arg("--django").args(arguments).current_dir(self.directory.path());
        command.env("DJANGO_SETTINGS_MODULE", self.settings).env("DATABASE_URL", &self.database);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PIP_RETRIES", "1");
        if self.cheap_hashes {
            command.env("CHEAP_HASHES", "1");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs a program to its end.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.command(arguments).spawn().expect("bash is there");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_owned();
        // It may write before it has read everything, or end without reading.
        let writing = tokio::spawn(async move { drop(stdin.write_all(input.as_bytes()).await) });
        let output = within(STEP, "Django ends", child.wait_with_output()).await.expect("it started");
        writing.await.expect("no panic");
        Ended::of(&output)
    }

    /// Runs a command of `manage.py`, and returns its output.
    pub async fn manage(&self, arguments: &[&str], input: &str) -> String {
        self.run(&[&["python", "manage.py"], arguments].concat(), input).await.expect_done()
    }

    /// Runs SQL with `psql`, as the page does.
    pub async fn psql(&self, sql: &str) -> Ended {
        let mut command = Command::new("psql");
        command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"]).arg(&self.database);
        command.current_dir(self.directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("psql is part of PostgreSQL");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(sql.as_bytes()).await.expect("psql reads");
        drop(stdin);
        Ended::of(&within(STEP, "psql ends", child.wait_with_output()).await.expect("it started"))
    }

    pub async fn serve(&self) -> Served {
        let port = ReservedPort::new();
        let log = self.path("log");
        let address = port.address.to_string();
        let mut command = self.command(&["python", "manage.py", "runserver", "--noreload", &address]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).expect("a file"));
        let mut child = command.spawn().expect("bash is there");
        eventually(STEP, "Django listens", async || {
            let status = child.try_wait().expect("a status");
            assert!(status.is_none(), "Django ends: {}", fs::read_to_string(&log).unwrap_or_default());
            TcpStream::connect(port.address).await.is_ok()
        })
        .await;
        Served { address: port.address, _child: child, _port: port }
    }
}

/// Django's server.
pub struct Served {
    pub address: SocketAddr,
    _child: Child,
    _port: ReservedPort,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
