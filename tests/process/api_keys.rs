//! The file of API keys, and the log about API clients.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::support::{LONG, Postern, Response, Serving, eventually, write_private};

const KEY: &str = "an-api-key-that-has-32-characters";
const OTHER_KEY: &str = "another-key-that-has-32-characters";

/// Prepares the program with a file of API keys.
fn with_keys(text: &str) -> Postern {
    let postern = Postern::new().with("POSTERN_API_KEYS_FILE", "api-keys").with("POSTERN_LOG_FORMAT", "json");
    write_private(&postern.path("api-keys"), text);
    postern
}

async fn ask(serving: &Serving, key: &str) -> Response {
    serving.api().post("/introspect/", json!({"token": "x"})).bearer(key).send().await
}

#[tokio::test]
async fn without_a_file_there_is_no_api_client() {
    let serving = Postern::new().serve().await;

    ask(&serving, KEY).await.expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn log_names_the_api_client_and_never_a_key() {
    let serving = with_keys(&format!("billing {KEY}\n")).serve().await;

    ask(&serving, KEY).await.expect(200);
    ask(&serving, OTHER_KEY).await.expect_problem(401, "invalid_token");

    let log = serving.stopped().await.stderr;
    let lines: Vec<_> = log.lines().filter(|line| line.contains(r#""route":"/introspect/""#)).collect();
    let [known, unknown] = lines[..] else { panic!("{log}") };
    assert!(known.contains(r#""api_client":"billing""#) && known.contains(r#""status":200"#), "{known}");
    assert!(!unknown.contains("api_client\"") && unknown.contains(r#""status":401"#), "{unknown}");
    assert!(!log.contains(KEY) && !log.contains(OTHER_KEY), "{log}");
}

#[tokio::test]
async fn unusable_key_file_stops_the_start_without_showing_a_key() {
    let missing = Postern::new().with("POSTERN_API_KEYS_FILE", "nowhere").run(&["serve"]).await;
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("nowhere: No such file"), "{}", missing.stderr);

    let wrong = with_keys(&format!("# API clients\n{KEY}\n"));
    let ended = wrong.run(&["serve"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("api-keys, line 2: ") && !ended.stderr.contains(KEY), "{}", ended.stderr);

    let exposed = with_keys(&format!("billing {KEY}\n"));
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(exposed.path("api-keys"), mode).expect("a mode");
    let ended = exposed.run(&["serve"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("api-keys: mode 0644"), "{}", ended.stderr);
    assert!(!exposed.path("postern-data").exists());
}

#[tokio::test]
async fn api_keys_are_replaced_without_a_restart() {
    // Many requests would fill the log, which nothing reads.
    let postern = with_keys("").with("POSTERN_LOG", "error");
    let link = postern.path("api-keys");
    let swap = |name: &str, text: &str| {
        write_private(&postern.path(name), text);
        std::os::unix::fs::symlink(name, postern.path("new-link")).expect("a link");
        std::fs::rename(postern.path("new-link"), &link).expect("it is swapped");
    };
    swap("first", &format!("billing {KEY}\n"));
    let serving = postern.serve().await;
    ask(&serving, KEY).await.expect(200);

    swap("second", &format!("billing {KEY}\nbilling {OTHER_KEY}\n"));
    let has_response = async |key: &str, status: u16| ask(&serving, key).await.status == status;
    eventually(LONG, "the new key is accepted", async || has_response(OTHER_KEY, 200).await).await;
    ask(&serving, KEY).await.expect(200);

    swap("third", &format!("billing {OTHER_KEY}\n"));
    eventually(LONG, "the old key is refused", async || has_response(KEY, 401).await).await;
    ask(&serving, OTHER_KEY).await.expect(200);
}
