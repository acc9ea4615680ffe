//! What is kept, what is logged, and what survives a kill.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::{Postern, unfinished_request};
use crate::{asking::Asking, service::PASSWORD};

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
async fn a_request_whose_caller_hangs_up_is_a_line_of_the_log_too() {
    // A hash that takes longer than it takes to hang up.
    let postern = Postern::new().with("POSTERN_HASH_MEMORY", "256MiB").with("POSTERN_HASH_PASSES", "4");
    let serving = postern.serve().await;
    let body = json!({"email": "ada@example.org", "password": PASSWORD}).to_string();

    let mut stream = unfinished_request(serving.public, body.len()).await;
    stream.write_all(body.as_bytes()).await.expect("it takes the body");
    drop(stream);

    let log = serving.stopped().await.stderr;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<_> = lines.iter().filter(|line| line["route"] == "/token/").collect();
    assert_eq!(told.len(), 1, "{log}");
    assert_eq!(told[0]["message"], "request ended without a response");
}

#[tokio::test]
async fn keys_that_were_lost_are_not_replaced_in_silence() {
    let postern = Postern::new();
    postern.serve().await.stopped().await;
    std::fs::remove_dir_all(postern.path("postern-data/keys")).expect("the keys are there");

    let refused = postern.run(&["serve"]).await;

    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("run `postern keys generate`"), "{}", refused.stderr);
    assert_eq!(postern.run(&["keys", "generate"]).await.code, Some(0));
    postern.serve().await.stopped().await;
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
