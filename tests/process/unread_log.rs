//! Standard error and standard output that nobody reads, that are closed, or whose disk is full.

use std::{
    fs::{File, OpenOptions},
    io::{PipeReader, Read as _, Write as _, pipe},
    net::SocketAddr,
    process::Stdio,
    time::Duration,
};

use rustix::{
    fs::{OFlags, fcntl_setfl},
    process::{Pid, Signal, kill_process},
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Child,
};

use crate::support::{Api, LONG, PASSWORD, Postern, RequestBuilder, ReservedPort, Serving, eventually, sample, within};

/// More requests than lines of them fit into a pipe (64 KiB), and into the queue twice.
const FLOOD: usize = 12_000;

/// The message of the line that reports dropped lines.
const REPORT: &str = "dropped log lines that were not read in time";

/// Less than commands wait for a lock: a minute.
const SOON: Duration = Duration::from_secs(30);

/// Requests whose lines are more than a pipe holds.
const FULL_PIPE: usize = 500;

/// Sends requests to the public API.
async fn flood(server: SocketAddr, requests: usize) {
    flood_of(server, "/healthz", "{\"status\":\"ok\"}", requests).await;
}

/// Sends requests with long ids over one connection, a hundred at a time. Each response must end with `end`.
async fn flood_of(server: SocketAddr, path: &str, end: &str, requests: usize) {
    let mut stream = TcpStream::connect(server).await.expect("it accepts");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: {}\r\n\r\n", "x".repeat(128));
    let end = end.as_bytes();
    for _ in 0..requests / 100 {
        stream.write_all(request.repeat(100).as_bytes()).await.expect("it takes the requests");
        let (mut text, mut responses) = (Vec::new(), 0);
        while responses < 100 {
            let bytes = within(LONG, "responses", stream.read_buf(&mut text)).await.expect("responses");
            assert_ne!(bytes, 0, "the connection is closed");
            responses = text.windows(end.len()).filter(|window| *window == end).count();
        }
    }
}

/// A pipe that holds as much as it can, and its reader, which does not read.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = pipe().expect("a pipe");
    fcntl_setfl(&writer, OFlags::NONBLOCK).expect("a flag");
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    fcntl_setfl(&writer, OFlags::empty()).expect("a flag");
    (reader, writer.into())
}

/// A pipe without a reader.
fn closed_pipe() -> Stdio {
    pipe().expect("a pipe").1.into()
}

fn full_device() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("a device").into()
}

/// A server whose output the test does not read.
struct Unread {
    child: Child,
    public: SocketAddr,
    operations: SocketAddr,
    _ports: [ReservedPort; 2],
}

impl Unread {
    fn start(postern: &Postern, stdout: Stdio, stderr: Stdio) -> Self {
        let ports = [ReservedPort::new(), ReservedPort::new()];
        let [public, operations] = [ports[0].address, ports[1].address];
        let mut command = postern.command(&["serve"]);
        command.env("POSTERN_LISTEN", public.to_string()).env("POSTERN_OPS_LISTEN", operations.to_string());
        let child = command.stdout(stdout).stderr(stderr).spawn().expect("it starts");
        Self { child, public, operations, _ports: ports }
    }

    /// Waits until it responds.
    async fn responding(self) -> Self {
        let is_live = async || {
            let response = RequestBuilder::operations(self.operations, "/livez").try_send().await;
            response.is_some_and(|response| response.status == 200)
        };
        eventually(LONG, "it responds", is_live).await;
        self
    }

    async fn metric(&self, name: &str) -> u64 {
        let response = RequestBuilder::operations(self.operations, "/metrics").send().await;
        sample(std::str::from_utf8(&response.body).expect("UTF-8"), name)
    }

    async fn ended_by(mut self, signal: Signal) -> Option<i32> {
        signal_to(&self.child, signal);
        code(&mut self.child).await
    }
}

fn signal_to(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().expect("it runs").cast_signed()).expect("a process");
    kill_process(pid, signal).expect("it can be signalled");
}

/// Waits until a process has a handler for a signal.
async fn handles(child: &Child, signal: Signal) {
    let status = format!("/proc/{}/status", child.id().expect("it runs"));
    let is_caught = async || {
        let status = std::fs::read_to_string(&status).expect("it runs");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
        let mask = u64::from_str_radix(mask.trim(), 16).expect("a number");
        mask & 1 << (signal.as_raw() - 1) != 0
    };
    eventually(LONG, "it handles the signal", is_caught).await;
}

/// Waits for the end without reading the output, and returns the exit code.
async fn code(child: &mut Child) -> Option<i32> {
    within(LONG, "it ends", child.wait()).await.expect("a status").code()
}

/// Everything works as if the output was read.
async fn expect_service(public: SocketAddr, operations: SocketAddr, email: &str) {
    RequestBuilder::operations(operations, "/livez").send().await.expect(200);
    Api(public).get("/healthz").send().await.expect(200);
    Api(public).signed_up(email).await;
    Api(public).logged_in(email, PASSWORD).await;
    Api(public).log_in(email, "wrong").send().await.expect(401);
}

async fn expect_service_of(serving: &Serving, email: &str) {
    expect_service(serving.public, serving.operations, email).await;
}

#[tokio::test]
async fn server_with_an_unread_log_responds_and_drains() {
    let postern = Postern::new();
    let mut serving = postern.serve().await;

    flood(serving.public, FULL_PIPE).await;

    expect_service_of(&serving, "ada@example.org").await;
    serving.signal(Signal::TERM);
    assert_eq!(code(&mut serving.child).await, Some(0));
}

#[tokio::test]
async fn second_signal_ends_a_server_with_an_unread_log() {
    let postern = Postern::new().with("POSTERN_SHUTDOWN_GRACE", "10m");
    let serving = postern.serve().await;
    flood(serving.public, FULL_PIPE).await;
    let _unfinished = serving.unfinished_login(10).await;

    serving.signal(Signal::TERM);

    assert_eq!(serving.ended_under(Signal::INT).await, Some(1));
}

#[tokio::test]
async fn flood_of_requests_displaces_no_other_line() {
    let postern = Postern::new().with("POSTERN_DRAIN_DELAY", "5m");
    let mut serving = postern.serve().await;

    for number in 0..3 {
        expect_service_of(&serving, &format!("ada{number}@example.org")).await;
        flood(serving.public, FLOOD / 2).await;
    }
    serving.signal(Signal::TERM);
    let is_draining = async || serving.probe("/readyz").send().await.status == 503;
    eventually(LONG, "it drains", is_draining).await;
    let rejected = r#"{"status":"draining","users":"up","sessions":"up"}"#;
    flood_of(serving.operations, "/readyz", rejected, FLOOD / 2).await;

    let dropped = async |kind| serving.metric(&format!("postern_log_lines_dropped_total{{kind=\"{kind}\"}}")).await;
    let dropped: [u64; 3] = [dropped("audit").await, dropped("server").await, dropped("request").await];
    assert!(dropped[..2] == [0, 0] && dropped[2] > 1000, "{dropped:?}");
    let mut log = String::new();
    let report = async {
        while !log.contains(REPORT) {
            assert_ne!(serving.log.read_line(&mut log).await.expect("a line"), 0, "the log ends");
        }
    };
    within(LONG, "it reports how many lines it has dropped", report).await;
    log.push_str(&serving.stopped().await.stderr);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for event in ["sign_up", "login", "login_failed"] {
        assert_eq!(lines.iter().filter(|line| line["event"] == event).count(), 3, "{event}");
    }
    let reported = lines.iter().filter(|line| line["message"] == REPORT);
    assert!(reported.filter_map(|line| line["request"].as_u64()).sum::<u64>() >= dropped[2]);
    let is_request = |line: &&Value| line["message"] == "request" || line["message"] == "request rejected";
    let requests = lines.iter().filter(is_request).count();
    assert!(u64::try_from(requests).expect("a count") + dropped[2] >= 24_000, "{requests}");
}

#[tokio::test]
async fn unread_standard_output_stops_no_server() {
    let postern = Postern::new();
    let (_reader, stdout) = full_pipe();

    let server = Unread::start(&postern, stdout, Stdio::null()).responding().await;

    expect_service(server.public, server.operations, "ada@example.org").await;
    assert_eq!(server.ended_by(Signal::TERM).await, Some(0));
}

#[tokio::test]
async fn closed_or_full_output_stops_no_server() {
    for output in [closed_pipe, full_device] {
        let postern = Postern::new();

        let server = Unread::start(&postern, output(), output()).responding().await;

        expect_service(server.public, server.operations, "ada@example.org").await;
        let dropped = async || server.metric("postern_log_lines_dropped_total{kind=\"audit\"}").await >= 3;
        eventually(LONG, "lines that cannot be written are counted", dropped).await;
        assert_eq!(server.ended_by(Signal::TERM).await, Some(0));
    }
}

#[tokio::test]
async fn failed_start_ends_although_nobody_reads_its_error() {
    let invalid = Postern::new().with("POSTERN_ACCESS_TTL", "soon");
    for arguments in [&["serve"][..], &["--nonsense"]] {
        let (_reader, stderr) = full_pipe();
        let mut child = invalid.command(arguments).stderr(stderr).spawn().expect("it starts");

        assert_eq!(code(&mut child).await, Some(64), "{arguments:?}");
    }
}

#[tokio::test]
async fn log_is_complete_when_its_reader_is_late() {
    let postern = Postern::new();
    let (mut reader, stderr) = full_pipe();
    let server = Unread::start(&postern, Stdio::null(), stderr).responding().await;
    expect_service(server.public, server.operations, "ada@example.org").await;

    let reading = tokio::task::spawn_blocking(move || {
        let mut log = String::new();
        reader.read_to_string(&mut log).expect("a text");
        log
    });
    assert_eq!(server.ended_by(Signal::TERM).await, Some(0));

    let log = within(LONG, "the log ends", reading).await.expect("no panic");
    for event in ["sign_up", "login_failed", "\"stopping\"", "\"stopped\""] {
        assert!(log.contains(event), "{event}: {}", log.trim_start());
    }
}

#[tokio::test]
async fn start_that_waits_for_a_lock_ends_at_a_signal() {
    let postern = Postern::new();
    let directory = postern.path("postern-data");
    std::fs::create_dir(&directory).expect("a directory");
    let lock = File::open(&directory).expect("a directory");
    lock.lock().expect("a lock");
    let mut server = Unread::start(&postern, Stdio::null(), Stdio::null());
    handles(&server.child, Signal::TERM).await;

    signal_to(&server.child, Signal::TERM);

    assert_eq!(code(&mut server.child).await, Some(1));
}

/// Interrupts a command until it ends, and expects that it reports it.
async fn expect_interrupted(mut child: Child) {
    handles(&child, Signal::INT).await;
    let interrupted = async || {
        signal_to(&child, Signal::INT);
        child.try_wait().expect("a status").is_some()
    };
    eventually(SOON, "it ends", interrupted).await;

    let ended = child.wait_with_output().await.expect("its output");
    let error = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((ended.status.code(), &*error), (Some(1), "postern: interrupted: no user was changed\n"));
}

#[tokio::test]
async fn interrupt_ends_a_command_that_waits_for_a_lock() {
    let postern = Postern::new();
    postern.serve().await.stopped().await;
    let lock = File::open(postern.path("postern-data")).expect("a directory");
    lock.lock().expect("a lock");

    let child = postern.command(&["user", "list"]).spawn().expect("it starts");

    expect_interrupted(child).await;
}

#[tokio::test]
async fn interrupt_ends_a_command_whose_input_stays_open() {
    let postern = Postern::new();
    let mut command = postern.command(&["user", "create", "ada@example.org", "--name", "Ada"]);

    let child = command.stdin(Stdio::piped()).spawn().expect("it starts");

    expect_interrupted(child).await;
    assert!(!postern.path("postern-data").exists());
}

#[tokio::test]
async fn interrupt_ends_a_command_whose_output_is_unread() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    serving.signed_up("ada@example.org").await;
    serving.stopped().await;
    let (_reader, stdout) = full_pipe();
    let command = &["user", "deactivate", "ada@example.org"];
    let mut child = postern.command(command).stdout(stdout).spawn().expect("it starts");
    let is_done = async || postern.run(&["audit", "list"]).await.stdout.contains("admin_user_deactivated");
    eventually(LONG, "it is done, and prints", is_done).await;

    let interrupted = async || {
        signal_to(&child, Signal::INT);
        child.try_wait().expect("a status").is_some()
    };
    eventually(LONG, "it ends", interrupted).await;

    assert_eq!(code(&mut child).await, Some(1));
}
