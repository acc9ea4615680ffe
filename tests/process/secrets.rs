//! The secrets that tests search for; and the output of commands, of stores, and of the system about the process.

use std::{fs, os::unix::fs::MetadataExt as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::{LONG, Postern, PostgresRedis, redis_url, within};

/// Is part of every secret that is chosen here, and of nothing else.
pub const MARK: &str = "kZq7wXv2";

pub const EMAIL: &str = "ada.lovelace@leaks.example";

/// The longest part of a token or key that may come out, in characters, ± [`STEP`]: a version or a purpose.
const PIECE: usize = 16;
const STEP: usize = 8;

pub fn password(word: &str) -> String {
    format!("{word}-{MARK}-ostrich")
}

/// The texts that must not come out.
pub struct Secrets(Vec<String>);

impl Secrets {
    /// The secrets that are known before the first request.
    pub fn new() -> Self {
        let basic = STANDARD.encode(format!("{EMAIL}:{}", password("right")));
        let mut secrets = Self(["leaks.example", MARK, "$argon2", "hunter2"].map(str::to_owned).to_vec());
        secrets.add(&basic);
        secrets
    }

    /// Adds a random secret, to be found whole or in parts.
    pub fn add(&mut self, secret: &str) {
        assert!(secret.len() >= PIECE, "{secret}");
        let pieces = secret.as_bytes().windows(PIECE).step_by(STEP);
        self.0.extend(pieces.map(|piece| String::from_utf8_lossy(piece).into_owned()));
    }

    /// Returns the number of texts.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn first_in(&self, text: &str) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|secret| text.contains(secret))
    }

    #[track_caller]
    pub fn expect_none_in(&self, place: &str, text: &str) {
        assert_eq!(self.first_in(text), None, "{place}: {text}");
    }
}

/// Returns the keys in a directory.
pub fn keys_in(postern: &Postern, directory: &str) -> Vec<String> {
    let entries = fs::read_dir(postern.path(directory)).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let files = paths.filter(|path| path.extension().is_some_and(|extension| extension == "paserk"));
    files.map(|file| fs::read_to_string(file).expect("a key")).collect()
}

#[tokio::test]
async fn commands_print_no_password_hash_or_key() {
    let postern = Postern::new();
    let create = ["user", "create", EMAIL, "--name", "Ada"];
    let set = ["user", "set-password", EMAIL];
    let two_lines = format!("{0}\n{0}\n", password("new"));
    let weak = format!("ada{MARK}");
    let mut ended = vec![
        postern.run_with_input(&["user", "create", EMAIL, "--name", &weak], &weak).await,
        postern.run_with_input(&create, &password("right")).await,
        postern.run_with_input(&create, &password("right")).await,
        postern.run_with_input(&set, &two_lines).await,
        postern.run_with_input(&set, &password("new")).await,
    ];
    for arguments in [
        &["user", "list", "--json"][..],
        &["user", "export"],
        &["user", "show", EMAIL],
        &["keys", "list", "--json"],
        &["keys", "rotate"],
        &["backup", "copy.db"],
        &["config"],
    ] {
        ended.push(postern.run(arguments).await);
    }

    // Commands about users show emails.
    let mut secrets = Secrets::new();
    secrets.0.retain(|secret| secret != "leaks.example");
    for key in keys_in(&postern, "postern-data/keys") {
        secrets.add(key.trim());
    }
    let codes: Vec<_> = ended.iter().map(|ended| ended.code.expect("a code")).collect();
    assert_eq!(codes, [1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0], "{ended:#?}");
    for ended in ended {
        secrets.expect_none_in("a command", &format!("{}{}", ended.stdout, ended.stderr).replace(&weak, ""));
    }
}

#[tokio::test]
async fn no_command_prints_the_password_of_a_url() {
    for (database, redis) in [
        ("postgres://postern:hunter2@127.0.0.1:1/postern", "redis://:hunter2@127.0.0.1:1/0"),
        ("postgres://postern:hunter2@127.0.0.1:1/postern?sslmode=require", "rediss://:hunter2@127.0.0.1:1/0"),
        // With characters that must be escaped in a URL.
        ("postgres://postern:is@hunter2@127.0.0.1:1/postern", "redis://:is@hunter2@127.0.0.1:1/0"),
        ("postgres://postern:is/hunter2@127.0.0.1:1/postern", "redis://:is/hunter2@127.0.0.1:1/0"),
        ("postgres://postern:is#hunter2@127.0.0.1:1/postern", "redis://:is#hunter2@127.0.0.1:1/0"),
        ("postgres://postern:is?hunter2@127.0.0.1:1/postern", "redis://:is?hunter2@127.0.0.1:1/0"),
        ("postgres://postern:%hunter2@127.0.0.1:1/postern", "redis://:%hunter2@127.0.0.1:1/0"),
        ("postgres://127.0.0.1:hunter2/postern", "redis://127.0.0.1:hunter2/0"),
        ("mysql://postern:hunter2@127.0.0.1/postern", "http://:hunter2@127.0.0.1/0"),
        ("hunter2", "hunter2"),
    ] {
        let postern = Postern::new()
            .with("DATABASE_URL", database)
            .with("REDIS_URL", redis)
            .with("POSTERN_KEYS_DIR", "keys")
            .with("POSTERN_STORE_TIMEOUT", "200ms")
            .with("POSTERN_LOG", "trace");
        let mut output = Vec::new();
        for arguments in
            [&["keys", "generate"][..], &["config"], &["migrate"], &["user", "list"], &["backup", "copy.db"]]
        {
            let ended = postern.run(arguments).await;
            output.push(ended.stdout + &ended.stderr);
        }
        // If the URLs are valid, the server starts without its stores.
        let mut child = postern.command(&["serve"]).spawn().expect("it starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        within(LONG, "it prints a line, or ends", stdout.read_line(&mut line)).await.expect("a line, or the end");
        child.start_kill().expect("it can be killed");
        let ended = within(LONG, "it ends", child.wait_with_output()).await.expect("an end");
        output.push(line + &String::from_utf8_lossy(&ended.stderr));

        Secrets::new().expect_none_in(database, &output.join("\n"));
    }
}

#[tokio::test]
async fn refused_store_password_is_not_logged() {
    let (database, redis) = (PostgresRedis::migrated().await.database, redis_url());
    let wrong_for_postgres = database.replace("postern:postern@", "postern:hunter2@");
    let wrong_for_redis = redis.replace("redis://", "redis://:hunter2@");
    for (database, redis, reason) in [
        (&wrong_for_postgres, &redis, "PostgreSQL is unavailable: "),
        (&database, &wrong_for_redis, "Redis is unavailable: "),
    ] {
        let postern = Postern::new()
            .with("DATABASE_URL", database)
            .with("REDIS_URL", redis)
            .with("POSTERN_KEYS_DIR", "keys")
            .with("POSTERN_LOG", "trace");
        postern.run(&["keys", "generate"]).await.expect_done();
        let serving = postern.serve().await;
        let body = json!({"name": "Ada Lovelace", "email": EMAIL, "password": password("right")});
        let refused =
            serving.api().post("/create-user/", body).send().await.expect_problem(503, "unavailable").to_string();
        let ready = serving.probe("/readyz").send().await.expect(503).to_string();

        let log = serving.stopped().await.stderr;

        assert!(log.contains(reason), "{log}");
        Secrets::new().expect_none_in("the log", &(log + &ready + &refused));
    }
}

#[tokio::test]
async fn memory_is_private_and_never_in_a_core_dump() {
    let serving = Postern::new().serve().await;
    let process = format!("/proc/{}", serving.id());

    let limits = fs::read_to_string(format!("{process}/limits")).expect("its limits");
    let environment = fs::metadata(format!("{process}/environ")).expect("its environment");

    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
    // If root runs the test, this always holds.
    assert_eq!(environment.uid(), 0, "what belongs to the memory belongs to root, as any user");
}
