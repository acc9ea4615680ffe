//! A real proxy: one process, with the rights of the caller, that listens on a socket in a directory of its own and
//! writes nowhere else.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::AsyncReadExt as _,
    net::UnixStream,
    process::{Child, Command},
};

use super::{LONG, eventually, within};

pub struct ReverseProxy {
    _process: Child,
    directory: tempfile::TempDir,
}

impl ReverseProxy {
    /// Starts nginx with this content of the block `http`, which must listen on `unix:socket`.
    pub async fn nginx(http: &str) -> Self {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {kind};\n"))
            .concat();
        let configuration = format!(
            "daemon off;\nmaster_process off;\npid pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}{http}}}\n"
        );
        Self::start("nginx", &["-e", "stderr", "-p", ".", "-c", "configuration"], &configuration).await
    }

    /// Starts a program with the file `configuration`, and waits until it listens on `socket`. Names of files are
    /// relative to the directory.
    pub async fn start(program: &str, arguments: &[&str], configuration: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("configuration"), configuration).expect("a file");
        let mut process = spawn(program, arguments, directory.path());
        eventually(LONG, "the proxy listens", async || {
            if process.try_wait().expect("a status").is_some() {
                let mut log = String::new();
                let mut stderr = process.stderr.take().expect("a pipe");
                within(LONG, "the log ends", stderr.read_to_string(&mut log)).await.expect("a log");
                panic!("{program} does not start: {log}");
            }
            UnixStream::connect(directory.path().join("socket")).await.is_ok()
        })
        .await;
        Self { _process: process, directory }
    }

    pub async fn connect(&self) -> UnixStream {
        self.connect_to("socket").await
    }

    /// Connects to another socket in the directory of the proxy.
    pub async fn connect_to(&self, socket: &str) -> UnixStream {
        UnixStream::connect(self.directory.path().join(socket)).await.expect("the proxy accepts")
    }
}

fn spawn(program: &str, arguments: &[&str], directory: &Path) -> Child {
    // Debian keeps it out of the PATH of ordinary users.
    let debian = PathBuf::from("/usr/sbin").join(program);
    let mut command = Command::new(if debian.exists() { debian } else { program.into() });
    command.args(arguments).current_dir(directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
        .spawn()
        .unwrap_or_else(|error| panic!("{program} ({error}): scripts/test installs it, as Debian's `{program}`"))
}
