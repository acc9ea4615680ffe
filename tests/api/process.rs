//! The process: its command line, what it prints, how it ends, and what survives that.

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
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
    proxy::Proxy,
    service::{Asking, PASSWORD},
    support::{PostgresRedis, empty_schema, redis_url},
};

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_mins(1);

/// The command, with a directory of its own and nothing in its environment.
struct Postern {
    directory: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Postern {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let environment = vec![
            ("POSTERN_LISTEN", "127.0.0.1:0".to_owned()),
            ("POSTERN_OPS_LISTEN", "127.0.0.1:0".to_owned()),
            ("POSTERN_HASH_MEMORY", "8KiB".to_owned()),
            ("POSTERN_HASH_PASSES", "1".to_owned()),
        ];
        Self { directory, environment }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// With users in an empty schema of PostgreSQL and sessions in Redis.
    async fn on_servers() -> Self {
        let keys = "keys";
        Self::new()
            .with("DATABASE_URL", empty_schema().await)
            .with("REDIS_URL", redis_url())
            .with("POSTERN_KEYS_DIR", keys)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
        command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        let output = tokio::time::timeout(LONG, self.command(arguments).output());
        Ended::of(&output.await.expect("it ends").expect("it starts"))
    }

    async fn serve(&self) -> Serving {
        let mut child = self.command(&["serve"]).spawn().expect("it starts");
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
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A process that serves.
struct Serving {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: ChildStderr,
    line: String,
    public: SocketAddr,
    operations: SocketAddr,
}

impl Serving {
    fn post(&self, path: &str, body: Value) -> Asking {
        Asking::new(self.public, "POST", path).json(body)
    }

    async fn sign_up(&self, email: &str) -> Value {
        let body = json!({"name": "Ada Lovelace", "email": email, "password": PASSWORD});
        self.post("/create-user/", body).send().await.expect(201)
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        kill_process(pid.expect("it runs"), signal).expect("it can be signalled");
    }

    /// Waits for the end: exit code, and everything printed after the first line.
    async fn ended(mut self) -> Ended {
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

    async fn stopped(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Ends it without a chance to tidy up.
    async fn killed(self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }
}

#[tokio::test]
async fn with_nothing_configured_it_serves_and_says_in_one_line_where_and_from_what() {
    let postern = Postern::new();

    let serving = postern.serve().await;

    let data = postern.path("postern-data");
    let (public, operations) = (serving.public, serving.operations);
    assert_eq!(
        serving.line,
        format!(
            "Postern listens on http://{public} (operations on {operations}), embedded store in {}\n",
            data.display()
        )
    );
    Asking::new(public, "GET", "/healthz").send().await.expect(200);
    Asking::new(operations, "GET", "/readyz").send().await.expect(200);
    assert_eq!(serving.stopped().await.stdout, "");
}

#[tokio::test]
async fn users_sessions_and_keys_survive_a_kill() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let tokens = serving.sign_up("ada@example.org").await;
    let bearer = tokens["access"].as_str().expect("a token");
    serving.killed().await;

    let serving = postern.serve().await;

    Asking::new(serving.public, "GET", "/profile/").bearer(bearer).send().await.expect(200);
    serving.post("/refresh/", json!({"refresh": tokens["refresh"]})).send().await.expect(200);
    serving.post("/token/", json!({"email": "ada@example.org", "password": PASSWORD})).send().await.expect(200);
}

#[tokio::test]
async fn a_logout_and_a_password_change_survive_a_kill() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let (ada, grace) = (serving.sign_up("ada@example.org").await, serving.sign_up("grace@example.org").await);
    serving.post("/logout/", json!({"refresh": ada["refresh"]})).send().await.expect(200);
    let change = json!({"old_password": PASSWORD, "new_password": "new_password"});
    let bearer = grace["access"].as_str().expect("a token");
    serving.post("/change-password/", change).bearer(bearer).send().await.expect(200);
    serving.killed().await;

    let serving = postern.serve().await;

    let refresh = serving.post("/refresh/", json!({"refresh": ada["refresh"]})).send().await;
    refresh.expect_problem(401, "invalid_refresh_token");
    let log_in = |password: &str| serving.post("/token/", json!({"email": "grace@example.org", "password": password}));
    log_in(PASSWORD).send().await.expect_problem(401, "invalid_credentials");
    log_in("new_password").send().await.expect(200);
}

#[tokio::test]
async fn no_acknowledged_sign_up_is_lost_when_it_is_killed_among_many() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let (acknowledged, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8 {
        let (address, acknowledged) = (serving.public, acknowledged.clone());
        clients.spawn(async move {
            for place in 0.. {
                let email = format!("ada{client}.{place}@example.org");
                let body = json!({"name": "Ada Lovelace", "email": email, "password": PASSWORD});
                let Some(answer) = Asking::new(address, "POST", "/create-user/").json(body).try_send().await else {
                    return;
                };
                assert_eq!(answer.status, 201);
                acknowledged.send(email).expect("the test listens");
            }
        });
    }
    let mut emails = Vec::new();
    while emails.len() < 100 {
        emails.push(seen.recv().await.expect("clients go on until the kill"));
    }
    serving.killed().await;
    clients.join_all().await;
    drop(acknowledged);
    while let Some(email) = seen.recv().await {
        emails.push(email);
    }

    let serving = postern.serve().await;

    for email in emails {
        serving.post("/token/", json!({"email": email, "password": PASSWORD})).send().await.expect(200);
    }
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_refused() {
    let postern = Postern::new();
    let _first = postern.serve().await;

    let second = postern.run(&["serve"]).await;

    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("another server is running on ./postern-data"), "{}", second.stderr);
}

#[tokio::test]
async fn term_and_int_end_it_once_it_has_drained() {
    for signal in [Signal::TERM, Signal::INT] {
        let postern = Postern::new();
        let serving = postern.serve().await;

        serving.signal(signal);

        assert_eq!(serving.ended().await.code, Some(0));
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let unfinished = unfinished_request(serving.public).await;

    serving.signal(Signal::TERM);
    serving.signal(Signal::INT);

    assert_eq!(serving.ended().await.code, Some(1));
    drop(unfinished);
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_cut_off() {
    let postern = Postern::new().with("POSTERN_SHUTDOWN_GRACE", "100ms");
    let serving = postern.serve().await;
    let unfinished = unfinished_request(serving.public).await;

    serving.signal(Signal::TERM);

    assert_eq!(serving.ended().await.code, Some(1));
    drop(unfinished);
}

#[tokio::test]
async fn it_is_not_ready_while_it_drains_and_still_serves() {
    let postern = Postern::new().with("POSTERN_DRAIN_DELAY", "60s");
    let mut serving = postern.serve().await;
    Asking::new(serving.operations, "GET", "/readyz").send().await.expect(200);

    serving.signal(Signal::TERM);
    let mut line = String::new();
    BufReader::new(&mut serving.stderr).read_line(&mut line).await.expect("a line");
    while Asking::new(serving.operations, "GET", "/readyz").send().await.status == 200 {}

    Asking::new(serving.operations, "GET", "/readyz").send().await.expect(503);
    serving.sign_up("ada@example.org").await;
}

#[tokio::test]
async fn probes_are_answered_until_the_last_request_is() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let unfinished = unfinished_request(serving.public).await;

    serving.signal(Signal::TERM);
    while Asking::new(serving.operations, "GET", "/readyz").send().await.status == 200 {}

    Asking::new(serving.operations, "GET", "/readyz").send().await.expect(503);
    Asking::new(serving.operations, "GET", "/livez").send().await.expect(200);
    drop(unfinished);
    assert_eq!(serving.ended().await.code, Some(0));
}

#[tokio::test]
async fn every_wrong_setting_is_reported_and_nothing_else_happens() {
    let postern = Postern::new().with("POSTERN_ACCESS_TTL", "soon").with("POSTERN_HASH_LANES", "0");

    for arguments in [&[][..], &["serve"], &["config"]] {
        let ended = postern.run(arguments).await;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(
            ended.stderr.contains("POSTERN_ACCESS_TTL") && ended.stderr.contains("POSTERN_HASH_LANES"),
            "{ended:?}"
        );
    }
    assert!(!postern.path("postern-data").exists());
}

#[tokio::test]
async fn wrong_arguments_are_wrong_settings_and_help_is_none() {
    let postern = Postern::new();

    assert_eq!(postern.run(&["--nonsense"]).await.code, Some(64));
    assert_eq!(postern.run(&["keys"]).await.code, Some(64));
    let help = postern.run(&["--help"]).await;
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("--listen") && help.stdout.contains("POSTERN_LISTEN"), "{}", help.stdout);
    assert_eq!(postern.run(&["--version"]).await.stdout, format!("postern {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn config_shows_every_setting_with_its_source_and_no_secret() {
    let postern = Postern::on_servers().await.with("REDIS_URL", "redis://:hunter2@localhost/0");

    let ended = postern.run(&["config", "--issuer", "me"]).await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    for setting in postern::config::SETTINGS {
        assert!(ended.stdout.contains(setting.name), "{}", setting.name);
    }
    let issuer = ended.stdout.lines().find(|line| line.starts_with("POSTERN_ISSUER")).expect("a line");
    assert_eq!(issuer.split_whitespace().collect::<Vec<_>>(), ["POSTERN_ISSUER", "flag", "me"]);
    assert!(!ended.stdout.contains("hunter2"));
}

#[tokio::test]
async fn it_does_not_serve_an_old_schema_and_says_what_mends_it() {
    let postern = Postern::on_servers().await;
    assert_eq!(postern.run(&["keys", "generate"]).await.code, Some(0));

    let refused = postern.run(&["serve"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("run `postern migrate`"), "{}", refused.stderr);

    assert_eq!(postern.run(&["migrate"]).await.code, Some(0));
    let serving = postern.serve().await;
    assert!(serving.line.contains("users in postgres://") && serving.line.contains("sessions in redis://"));
    assert!(!serving.line.contains('@'), "{}", serving.line);
    serving.sign_up("ada@example.org").await;
}

#[tokio::test]
async fn a_server_that_starts_before_its_stores_becomes_ready_when_they_come() {
    let (database, redis) = (PostgresRedis::migrated().await.database, redis_url());
    let (postgres_proxy, redis_proxy) = (Proxy::start(&database).await, Proxy::start(&redis).await);
    // One refuses, and the other one does not even do that.
    redis_proxy.cut().await;
    postgres_proxy.freeze();
    let postern = Postern::new()
        .with("DATABASE_URL", postgres_proxy.instead_of(&database))
        .with("REDIS_URL", redis_proxy.instead_of(&redis))
        .with("POSTERN_KEYS_DIR", "keys");
    assert_eq!(postern.run(&["keys", "generate"]).await.code, Some(0));

    let serving = postern.serve().await;
    let ready = || Asking::new(serving.operations, "GET", "/readyz").send();
    assert_eq!(ready().await.expect(503)["status"], "starting");

    postgres_proxy.mend().await;
    redis_proxy.mend().await;
    ready().await.expect(200);
    serving.sign_up("ada@example.org").await;
}

#[tokio::test]
async fn it_migrates_before_it_serves_where_it_is_asked_to() {
    let postern = Postern::on_servers().await;
    assert_eq!(postern.run(&["keys", "generate"]).await.code, Some(0));
    let mut child = postern.command(&["--migrate"]).spawn().expect("it starts");

    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).await.expect("a line");

    assert!(line.starts_with("Postern listens on"), "{line}");
}

#[tokio::test]
async fn the_embedded_store_has_no_migrate_command() {
    let ended = Postern::new().run(&["migrate"]).await;

    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.contains("DATABASE_URL"), "{}", ended.stderr);
}

#[tokio::test]
async fn without_keys_it_does_not_start_and_says_what_mends_it() {
    let postern = Postern::on_servers().await;
    assert_eq!(postern.run(&["migrate"]).await.code, Some(0));

    let refused = postern.run(&["serve"]).await;

    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("run `postern keys generate`"), "{}", refused.stderr);
}

#[tokio::test]
async fn keys_are_generated_once_and_listed_without_their_secrets() {
    let postern = Postern::new().with("POSTERN_KEYS_DIR", "keys");

    let first = postern.run(&["keys", "generate"]).await;
    let again = postern.run(&["keys", "generate"]).await;
    let listed = postern.run(&["keys", "list"]).await;

    assert_eq!((first.code, again.code, listed.code), (Some(0), Some(0), Some(0)));
    assert_eq!(first.stdout, listed.stdout);
    assert!(again.stdout.contains("no key is missing"), "{}", again.stdout);
    let ids: Vec<_> = listed.stdout.lines().map(|line| line.split_whitespace().last().expect("an id")).collect();
    assert!(matches!(&ids[..], [access, refresh] if access.starts_with("k4.pid.") && refresh.starts_with("k4.lid.")));
    for file in std::fs::read_dir(postern.path("keys")).expect("a directory") {
        let file = file.expect("an entry");
        assert_eq!(file.metadata().expect("metadata").permissions().mode() & 0o777, 0o600, "{:?}", file.path());
        let content = std::fs::read_to_string(file.path()).expect("a text");
        assert!(!listed.stdout.contains(content.trim()), "{:?}", file.path());
    }
}

#[tokio::test]
async fn a_key_that_others_may_read_is_refused_and_a_mounted_secret_is_not() {
    let postern = Postern::new().with("POSTERN_KEYS_DIR", "keys");
    postern.run(&["keys", "generate"]).await;

    let set_mode = |mode| {
        for file in std::fs::read_dir(postern.path("keys")).expect("a directory") {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(file.expect("an entry").path(), permissions).expect("a mode");
        }
    };
    for mode in [0o644, 0o660, 0o604] {
        set_mode(mode);
        let refused = postern.run(&["serve"]).await;
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("others must not read it"), "{}", refused.stderr);
    }

    set_mode(0o440);
    postern.serve().await.stopped().await;
}

#[tokio::test]
async fn settings_that_make_access_tokens_too_long_are_refused() {
    let ended = Postern::new().with("POSTERN_ISSUER", "x".repeat(1000)).run(&["serve"]).await;

    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.contains("POSTERN_ISSUER") && ended.stderr.contains("1024"), "{}", ended.stderr);
}

#[tokio::test]
async fn each_request_is_one_line_of_the_log_and_no_secret_is_in_it() {
    let postern = Postern::new().with("POSTERN_LOG", "trace");
    let serving = postern.serve().await;
    let tokens = serving.sign_up("ada@example.org").await;
    let (access, refresh) = (tokens["access"].as_str().expect("a token"), tokens["refresh"].as_str().expect("a token"));
    let profile = Asking::new(serving.public, "GET", "/profile").bearer(access).header("x-request-id", "this-one");
    profile.send().await.expect(200);
    serving.post("/refresh/", json!({"refresh": refresh})).send().await.expect(200);
    serving.post("/token/", json!({"email": "ada@example.org", "password": "wrong_password"})).send().await;
    Asking::new(serving.public, "GET", "/nowhere?token=hunter2").send().await.expect(404);

    let log = serving.stopped().await.stderr;

    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let requests: Vec<_> = lines.iter().filter(|line| line["message"] == "request").collect();
    let told: Vec<_> = requests.iter().map(|line| (line["route"].as_str(), line["status"].as_u64())).collect();
    let expected = [("/create-user/", 201), ("/profile/", 200), ("/refresh/", 200), ("/token/", 401), ("-", 404)];
    assert_eq!(told, expected.map(|(route, status)| (Some(route), Some(status))));
    assert_eq!(requests[1]["id"], "this-one");
    assert!(requests.iter().all(|line| line["duration_ms"].is_f64()), "{log}");
    for secret in [access, refresh, PASSWORD, "wrong_password", "hunter2", "ada@example.org", "argon2id", "k4.secret"] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn nothing_that_it_keeps_is_a_token_or_a_password() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let tokens = serving.sign_up("ada@example.org").await;
    serving.stopped().await;

    let mut kept = Vec::new();
    for file in files_below(&postern.path("postern-data")) {
        kept.extend(std::fs::read(file).expect("a file"));
    }

    for secret in [tokens["access"].as_str(), tokens["refresh"].as_str(), Some(PASSWORD)] {
        let secret = secret.expect("a text").as_bytes();
        assert!(!kept.windows(secret.len()).any(|window| window == secret));
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let below = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    entries.flat_map(|entry| below(entry.expect("an entry").path())).collect()
}

/// A connection whose request the server has begun to read and will not see the end of.
async fn unfinished_request(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    let head = "POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Expect: 100-continue\r\nContent-Length: 10\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("it takes the head");
    let mut asked = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut asked).await.expect("it asks for the body");
    stream
}
