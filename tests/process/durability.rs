//! Stored data, the log of requests, and kills.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::{LONG, NEW_PASSWORD, PASSWORD, Postern, Tokens, within};

#[tokio::test]
async fn users_sessions_and_keys_survive_a_kill() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let tokens = serving.signed_up("ada@example.org").await;
    serving.killed().await;

    let serving = postern.serve().await;

    serving.api().profile(&tokens).send().await.expect(200);
    serving.api().refresh(&tokens).send().await.expect(200);
    serving.api().log_in("ada@example.org", PASSWORD).send().await.expect(200);
}

#[tokio::test]
async fn logout_and_password_change_survive_a_kill() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let (ada, grace) = (serving.signed_up("ada@example.org").await, serving.signed_up("grace@example.org").await);
    serving.api().log_out(&ada).send().await.expect(200);
    serving.api().change_password(&grace, PASSWORD, NEW_PASSWORD).send().await.expect(200);
    serving.killed().await;

    let serving = postern.serve().await;

    let refresh = serving.api().refresh(&ada).send().await;
    refresh.expect_problem(401, "invalid_refresh_token");
    let log_in = |password: &str| serving.api().log_in("grace@example.org", password);
    log_in(PASSWORD).send().await.expect_problem(401, "invalid_credentials");
    log_in(NEW_PASSWORD).send().await.expect(200);
}

#[tokio::test]
async fn no_acknowledged_sign_up_is_lost_by_a_kill() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let (acknowledged, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8 {
        let (api, acknowledged) = (serving.api(), acknowledged.clone());
        clients.spawn(async move {
            for place in 0.. {
                let email = format!("ada{client}.{place}@example.org");
                let Some(response) = api.sign_up(&email).try_send().await else { return };
                assert_eq!(response.status, 201);
                acknowledged.send(email).expect("the test listens");
            }
        });
    }
    let mut emails = Vec::new();
    while emails.len() < 100 {
        let email = within(LONG, "sign-ups are acknowledged", seen.recv()).await;
        emails.push(email.expect("clients go on until the kill"));
    }
    serving.killed().await;
    within(LONG, "the clients notice the kill", clients.join_all()).await;
    drop(acknowledged);
    while let Some(email) = within(LONG, "the rest is read", seen.recv()).await {
        emails.push(email);
    }

    let serving = postern.serve().await;

    for email in emails {
        serving.api().log_in(&email, PASSWORD).send().await.expect(200);
    }
}

#[tokio::test]
async fn each_request_is_one_log_line_without_secrets() {
    let postern = Postern::new().with("POSTERN_LOG", "trace");
    let serving = postern.serve().await;
    let tokens = serving.signed_up("ada@example.org").await;
    let Tokens { access, refresh } = &tokens;
    let profile = serving.api().get("/profile").bearer(access).header("x-request-id", "this-one");
    profile.send().await.expect(200);
    serving.api().refresh(&tokens).send().await.expect(200);
    serving.api().log_in("ada@example.org", "wrong_password").send().await;
    serving.api().get("/nowhere?token=hunter2").send().await.expect(404);

    let log = serving.stopped().await.stderr;

    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let requests: Vec<_> = lines.iter().filter(|line| line["message"] == "request").collect();
    let reported: Vec<_> = requests.iter().map(|line| (line["route"].as_str(), line["status"].as_u64())).collect();
    let expected = [("/create-user/", 201), ("/profile/", 200), ("/refresh/", 200), ("/token/", 401), ("-", 404)];
    assert_eq!(reported, expected.map(|(route, status)| (Some(route), Some(status))));
    assert_eq!(requests[1]["id"], "this-one");
    assert!(requests.iter().all(|line| line["duration_ms"].is_f64()), "{log}");
    for secret in
        [access.as_str(), refresh, PASSWORD, "wrong_password", "hunter2", "ada@example.org", "argon2id", "k4.secret"]
    {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn abandoned_request_is_logged() {
    // A hash that takes longer than the hang-up.
    let postern = Postern::new().with("POSTERN_HASH_MEMORY", "256MiB").with("POSTERN_HASH_PASSES", "4");
    let serving = postern.serve().await;
    let body = json!({"email": "ada@example.org", "password": PASSWORD}).to_string();

    let mut stream = serving.unfinished_login(body.len()).await;
    stream.write_all(body.as_bytes()).await.expect("it takes the body");
    drop(stream);

    let log = serving.stopped().await.stderr;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let reported: Vec<_> = lines.iter().filter(|line| line["route"] == "/token/").collect();
    assert_eq!(reported.len(), 1, "{log}");
    assert_eq!(reported[0]["message"], "request ended without a response");
}

#[tokio::test]
async fn lost_keys_are_not_replaced_silently() {
    let postern = Postern::new();
    postern.serve().await.stopped().await;
    std::fs::remove_dir_all(postern.path("postern-data/keys")).expect("the keys are there");

    let refused = postern.run(&["serve"]).await;

    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("run `postern keys generate`"), "{}", refused.stderr);
    postern.run(&["keys", "generate"]).await.expect_done();
    postern.serve().await.stopped().await;
}

#[tokio::test]
async fn no_stored_file_holds_a_token_or_a_password() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let tokens = serving.signed_up("ada@example.org").await;
    serving.stopped().await;

    let mut kept = Vec::new();
    for file in files_below(&postern.path("postern-data")) {
        kept.extend(std::fs::read(file).expect("a file"));
    }

    for secret in [tokens.access.as_str(), &tokens.refresh, PASSWORD] {
        let secret = secret.as_bytes();
        assert!(!kept.windows(secret.len()).any(|window| window == secret));
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let below = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    entries.flat_map(|entry| below(entry.expect("an entry").path())).collect()
}
