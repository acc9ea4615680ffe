//! The program itself, as a process with a directory of its own.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, ChildStderr, ChildStdout, Command},
};

use super::within;

/// The limit of a wait: longer than anything takes on a busy machine.
pub const LONG: Duration = Duration::from_mins(1);

/// The program with a directory of its own, and an environment that holds these settings only.
pub struct Postern {
    pub directory: tempfile::TempDir,
    pub environment: Vec<(&'static str, String)>,
}

impl Postern {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let environment = vec![
            ("POSTERN_LISTEN", "127.0.0.1:0".to_owned()),
            ("POSTERN_OPS_LISTEN", "127.0.0.1:0".to_owned()),
            ("POSTERN_HASH_MEMORY", "8KiB".to_owned()),
            ("POSTERN_HASH_PASSES", "1".to_owned()),
            // A busy machine is no outage.
            ("POSTERN_STORE_TIMEOUT", "10s".to_owned()),
        ];
        Self { directory, environment }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
        command.args(arguments);
        self.prepared(command)
    }

    /// Gives a command the directory, the environment, and pipes to read from.
    pub fn prepared(&self, mut command: Command) -> Command {
        command.current_dir(self.directory.path()).env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub async fn serve(&self) -> Serving {
        self.serve_by(self.command(&["serve"])).await
    }

    /// Starts the server by a command that becomes it.
    pub async fn serve_by(&self, command: Command) -> Serving {
        let mut child = self.prepared(command).spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        within(LONG, "it prints a line", stdout.read_line(&mut line)).await.expect("a line");
        // A listener of all addresses is reached by this one too.
        let addresses: Vec<SocketAddr> = line
            .replace("localhost", "127.0.0.1")
            .split(|character: char| !(character.is_ascii_digit() || ".:".contains(character)))
            .filter_map(|word| word.parse().ok())
            .collect();
        let [public, operations, ..] = addresses[..] else {
            let mut complaint = String::new();
            within(LONG, "its log ends", log.read_to_string(&mut complaint)).await.expect("a text");
            panic!("two addresses: {line:?} {complaint:?}")
        };
        Serving { child, stdout, log, line, public, operations }
    }
}

/// The exit code and the output of a process that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A server that runs.
pub struct Serving {
    pub child: Child,
    stdout: BufReader<ChildStdout>,
    pub log: BufReader<ChildStderr>,
    /// The line that names the addresses.
    pub line: String,
    pub public: SocketAddr,
    pub operations: SocketAddr,
}

impl Serving {
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.id().cast_signed());
        kill_process(pid.expect("it runs"), signal).expect("it can be signalled");
    }

    /// Waits for the end, and returns the exit code and everything printed after the first line.
    pub async fn ended(mut self) -> Ended {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let end = async {
            let reading = tokio::join!(self.stdout.read_to_string(&mut stdout), self.log.read_to_string(&mut stderr));
            assert!(reading.0.is_ok() && reading.1.is_ok());
            self.child.wait().await.expect("a status").code()
        };
        let code = within(LONG, "it ends", end).await;
        Ended { code, stdout, stderr }
    }

    pub async fn stopped(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended().await
    }
}
