//! The process: its command line, what it prints, how it ends, and what survives that.

mod audit;
mod backup;
mod documents;
mod end;
mod flood;
mod injection;
mod keep;
mod keys;
mod leaks;
mod nginx;
mod operators;
mod secrets;
mod settings;
mod start;
mod terminal;
mod tls;
mod users;

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, ChildStderr, ChildStdout, Command},
};

use crate::{
    asking::Asking,
    service::PASSWORD,
    support::{empty_schema, redis_url, variable},
};

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_mins(1);

/// The command, with a directory of its own and nothing in its environment.
pub struct Postern {
    directory: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Postern {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let environment = vec![
            ("POSTERN_LISTEN", "127.0.0.1:0".to_owned()),
            ("POSTERN_OPS_LISTEN", "127.0.0.1:0".to_owned()),
            ("POSTERN_HASH_MEMORY", "8KiB".to_owned()),
            ("POSTERN_HASH_PASSES", "1".to_owned()),
        ];
        Self { directory, environment }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// With users in an empty schema of PostgreSQL and sessions in Redis.
    pub async fn on_servers() -> Self {
        let keys = "keys";
        Self::new()
            .with("DATABASE_URL", empty_schema().await)
            .with("REDIS_URL", redis_url())
            .with("POSTERN_KEYS_DIR", keys)
    }

    /// The same by TLS, with keys that are there.
    pub async fn on_servers_by_tls() -> Self {
        let database = format!("{}&sslmode=require", empty_schema().await);
        let redis = variable("POSTERN_TEST_REDIS_TLS_URL");
        let postern =
            Self::new().with("DATABASE_URL", database).with("REDIS_URL", redis).with("POSTERN_KEYS_DIR", "keys");
        assert_eq!(postern.run(&["keys", "generate"]).await.code, Some(0));
        postern
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
        command.args(arguments);
        self.prepared(command)
    }

    fn prepared(&self, mut command: Command) -> Command {
        command.current_dir(self.directory.path()).env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Ended {
        let output = tokio::time::timeout(LONG, self.command(arguments).output());
        Ended::of(&output.await.expect("it ends").expect("it starts"))
    }

    /// With something to read on standard input.
    pub async fn run_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may end without reading.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = tokio::time::timeout(LONG, child.wait_with_output());
        Ended::of(&output.await.expect("it ends").expect("it started"))
    }

    pub async fn serve(&self) -> Serving {
        self.serve_by(self.command(&["serve"])).await
    }

    /// By a command that becomes the server.
    pub async fn serve_by(&self, command: Command) -> Serving {
        let mut child = self.prepared(command).spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let stderr = child.stderr.take().expect("a pipe");
        let mut line = String::new();
        stdout.read_line(&mut line).await.expect("a line");
        let addresses: Vec<SocketAddr> = line
            .split(|character: char| !(character.is_ascii_digit() || ".:".contains(character)))
            .filter_map(|word| word.parse().ok())
            .collect();
        let [public, operations, ..] = addresses[..] else { panic!("two addresses: {line:?}") };
        Serving { child, stdout, stderr, line, public, operations }
    }
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A process that serves.
pub struct Serving {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub stderr: ChildStderr,
    pub line: String,
    pub public: SocketAddr,
    pub operations: SocketAddr,
}

impl Serving {
    pub fn post(&self, path: &str, body: Value) -> Asking {
        Asking::new(self.public, "POST", path).json(body)
    }

    pub async fn sign_up(&self, email: &str) -> Value {
        let body = json!({"name": "Ada Lovelace", "email": email, "password": PASSWORD});
        self.post("/create-user/", body).send().await.expect(201)
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// The most memory that it has had.
    pub fn peak_memory_bytes(&self) -> u64 {
        let status = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(status).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak.and_then(|kibibytes| kibibytes.parse::<u64>().ok()).expect("a peak") * 1024
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.id().cast_signed());
        kill_process(pid.expect("it runs"), signal).expect("it can be signalled");
    }

    /// Waits for the end: exit code, and everything printed after the first line.
    pub async fn ended(mut self) -> Ended {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let end = async {
            let reading =
                tokio::join!(self.stdout.read_to_string(&mut stdout), self.stderr.read_to_string(&mut stderr));
            assert!(reading.0.is_ok() && reading.1.is_ok());
            self.child.wait().await.expect("a status").code()
        };
        let code = tokio::time::timeout(LONG, end).await.expect("it ends");
        Ended { code, stdout, stderr }
    }

    /// Signals it until it ends: exit code.
    pub async fn ended_under(mut self, signal: Signal) -> Option<i32> {
        let signalling = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("a status") {
                    return status.code();
                }
                self.signal(signal);
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, signalling).await.expect("it ends")
    }

    pub async fn stopped(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Ends it without a chance to tidy up.
    pub async fn killed(self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }
}

/// A connection whose login the server has begun to read, up to a body of this length.
async fn unfinished_request(address: SocketAddr, body_bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    let head = format!(
        "POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {body_bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("it takes the head");
    let mut asked = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut asked).await.expect("it asks for the body");
    stream
}
