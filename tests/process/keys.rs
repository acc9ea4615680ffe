//! Keys, and the commands about them while a server runs.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::{Postern, Serving};

/// Returns the keys of the JSON output.
async fn keys_of(postern: &Postern) -> Vec<Value> {
    let mut listed = postern.run(&["keys", "list", "--json"]).await.expect_json();
    let Value::Array(keys) = listed["keys"].take() else { panic!("{listed}") };
    keys
}

async fn key(postern: &Postern, purpose: &str, state: &str) -> Value {
    let keys = keys_of(postern).await;
    let is_it = |key: &&Value| key["purpose"] == purpose && key["state"] == state;
    keys.iter().find(is_it).unwrap_or_else(|| panic!("{purpose} {state}: {keys:?}")).clone()
}

/// Sets the time of every key's state to the year 2000.
fn age(postern: &Postern) {
    let path = postern.path("keys/keyring.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).expect("a manifest")).expect("JSON");
    for key in manifest["keys"].as_array_mut().expect("keys") {
        key["since"] = json!("2000-01-01T00:00:00Z");
    }
    std::fs::write(&path, manifest.to_string()).expect("it can be written");
}

impl Serving {
    /// Sends a token of an unknown key.
    pub async fn meet_unknown_key(&self, access: &str) {
        let (signed, _) = access.rsplit_once('.').expect("a footer");
        // {"kid":"k4.pid.x"}
        let token = format!("{signed}.eyJraWQiOiJrNC5waWQueCJ9");
        self.api().get("/profile/").bearer(&token).send().await.expect_problem(401, "invalid_token");
    }
}

fn footer(access: &str) -> &str {
    access.rsplit_once('.').expect("a footer").1
}

#[tokio::test]
async fn server_without_keys_refuses_to_start_and_names_the_command() {
    let postern = Postern::on_servers().await.migrated().await;

    let refused = postern.run(&["serve"]).await;

    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("run `postern keys generate`"), "{}", refused.stderr);
}

#[tokio::test]
async fn keys_are_generated_once_and_listed_without_secrets() {
    let postern = Postern::new().with("POSTERN_KEYS_DIR", "keys");

    let made = postern.run(&["keys", "generate"]).await.expect_done();
    let again = postern.run(&["keys", "generate"]).await.expect_done();
    let listed = postern.run(&["keys", "list"]).await.expect_done();

    assert!(again.contains("no key is missing"), "{again}");
    let keys = keys_of(&postern).await;
    let reported: Vec<_> = keys.iter().map(|key| (&key["purpose"], &key["state"])).collect();
    let active = json!("active");
    let purposes = [json!("access"), json!("refresh"), json!("limiter")];
    assert_eq!(reported, purposes.each_ref().map(|purpose| (purpose, &active)));
    for key in &keys {
        let id = key["id"].as_str().expect("a text");
        assert!(id.starts_with(if key["purpose"] == "access" { "k4.pid." } else { "k4.lid." }), "{id}");
        assert!(listed.contains(id) && made.contains(id), "{id}: {listed}{made}");
        assert!(key["activate_from"].is_null() && key["retire_from"].is_null(), "{key}");
    }
    for file in std::fs::read_dir(postern.path("keys")).expect("a directory") {
        let file = file.expect("an entry");
        assert_eq!(file.metadata().expect("metadata").permissions().mode() & 0o777, 0o600, "{:?}", file.path());
        let content = std::fs::read_to_string(file.path()).expect("a text");
        assert!(!listed.contains(content.trim()), "{:?}", file.path());
    }
}

#[tokio::test]
async fn key_that_others_may_read_is_refused() {
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
async fn key_step_is_refused_before_its_time() {
    let postern = Postern::new().with("POSTERN_KEYS_DIR", "keys").with("POSTERN_KEYS_MAX_AGE", "24h");
    postern.run(&["keys", "generate"]).await.expect_done();
    let made = postern.run(&["keys", "generate", "access"]).await.expect_done();
    let next = key(&postern, "access", "next").await;
    let (id, from) = (next["id"].as_str().expect("an id"), next["activate_from"].as_str().expect("a time"));
    assert_eq!(made, format!("access: {id} created, next; can be activated from {from}\n"));

    for which in ["access", id] {
        let until = format!("{id} must stay next until {from}");
        postern.run(&["keys", "activate", which]).await.expect_failed(1, &until);
    }
    age(&postern);
    postern.run(&["keys", "activate", "access"]).await.expect_done();
    assert_eq!(key(&postern, "access", "active").await["id"], id);

    let retiring = key(&postern, "access", "retiring").await;
    let (id, from) = (retiring["id"].as_str().expect("an id"), retiring["retire_from"].as_str().expect("a time"));
    let until = format!("{id} must stay retiring until {from}");
    postern.run(&["keys", "retire", id]).await.expect_failed(1, &until);
    age(&postern);
    postern.run(&["keys", "retire", id]).await.expect_done();

    assert_eq!(keys_of(&postern).await.len(), 3);
    postern.run(&["keys", "retire", id]).await.expect_failed(1, "no key has the id");
}

#[tokio::test]
async fn rotation_prints_its_steps_and_the_next_ones() {
    let postern = Postern::new().with("POSTERN_KEYS_DIR", "keys");
    postern.run(&["keys", "generate"]).await.expect_done();

    let first = postern.run(&["keys", "rotate"]).await.expect_done();
    let second = postern.run(&["keys", "rotate"]).await.expect_done();
    age(&postern);
    let third = postern.run(&["keys", "rotate", "limiter"]).await.expect_done();

    assert_eq!(first.matches("created, next; can be activated from").count(), 3, "{first}");
    assert_eq!(second.matches("stays next; can be activated from").count(), 3, "{second}");
    let lines: Vec<_> = third.lines().collect();
    assert!(
        matches!(lines[..], [active, retiring, made] if active.ends_with("is active")
            && retiring.contains("is retiring; can be removed from")
            && made.contains("created, next")),
        "{third}"
    );
}

#[tokio::test]
async fn key_times_out_of_range_are_invalid_settings() {
    let postern = Postern::new().with("POSTERN_KEYS_DIR", "keys").with("POSTERN_KEYS_MAX_AGE", "25h");

    postern.run(&["keys", "rotate"]).await.expect_failed(64, "POSTERN_KEYS_MAX_AGE");
    postern.run(&["serve"]).await.expect_failed(64, "POSTERN_KEYS_MAX_AGE");
}

#[tokio::test]
async fn server_loads_a_rotated_key_and_invalidates_no_token() {
    let postern = Postern::new().with("POSTERN_KEYS_DIR", "keys");
    postern.run(&["keys", "generate"]).await.expect_done();
    postern.run(&["keys", "rotate"]).await.expect_done();
    let mut serving = postern.serve().await;
    let before = serving.signed_up("ada@example.org").await;
    age(&postern);

    postern.run(&["keys", "rotate"]).await.expect_done();
    let active = format!("access active {}", key(&postern, "access", "active").await["id"].as_str().expect("an id"));
    serving.logged(&active).await;

    let after = serving.api().refreshed(&before).await;
    assert_ne!(footer(&after.access), footer(&before.access));
    for tokens in [&before, &after] {
        serving.api().profile(tokens).send().await.expect(200);
    }
}

#[tokio::test]
async fn leaked_key_is_replaced_while_a_server_runs() {
    let postern = Postern::new().with("POSTERN_KEYS_DIR", "keys");
    postern.run(&["keys", "generate"]).await.expect_done();
    let serving = postern.serve().await;
    let before = serving.signed_up("ada@example.org").await;

    let reported = postern.run(&["keys", "rotate", "access", "--emergency"]).await.expect_done();
    serving.meet_unknown_key(&before.access).await;

    assert!(reported.contains("created, active") && reported.contains(" removed"), "{reported}");
    serving.api().profile(&before).send().await.expect_problem(401, "invalid_token");
    let after = serving.api().refreshed(&before).await;
    serving.api().profile(&after).send().await.expect(200);
}

#[tokio::test]
async fn unusable_keys_change_nothing_and_set_the_alarm_metric() {
    let postern = Postern::new().with("POSTERN_KEYS_DIR", "keys");
    postern.run(&["keys", "generate"]).await.expect_done();
    let serving = postern.serve().await;
    let tokens = serving.signed_up("ada@example.org").await;
    let alarm = || serving.metric::<u64>("postern_keys_last_reload_successful");
    assert_eq!(alarm().await, 1);

    let manifest = postern.path("keys/keyring.json");
    std::fs::rename(&manifest, postern.path("elsewhere")).expect("it is moved");
    serving.meet_unknown_key(&tokens.access).await;

    assert_eq!(alarm().await, 0);
    serving.api().profile(&tokens).send().await.expect(200);
    serving.signed_up("grace@example.org").await;
    let log = serving.stopped().await.stderr;
    assert_eq!(log.matches("failed to reload keys").count(), 1, "{log}");
}

#[tokio::test]
async fn commands_warn_that_no_server_can_use_the_keys() {
    let postern = Postern::on_servers().await.with_keys().await;
    let active = key(&postern, "access", "active").await;
    let limiter = std::fs::read_dir(postern.path("keys")).expect("a directory");
    let limiter = limiter.map(|entry| entry.expect("a file").path());
    let limiter = limiter.into_iter().find(|path| path.to_string_lossy().contains("limiter")).expect("a key");
    std::fs::set_permissions(&limiter, std::fs::Permissions::from_mode(0o644)).expect("a mode");

    for arguments in [&["keys", "list"][..], &["keys", "generate"], &["keys", "rotate", "access", "--emergency"]] {
        let ended = postern.run(arguments).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("no server can use these keys: ") && ended.stderr.contains("0644"), "{ended:?}");
        assert!(!ended.stdout.is_empty(), "{ended:?}");
    }

    // The command has succeeded all the same.
    std::fs::set_permissions(&limiter, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    assert_ne!(key(&postern, "access", "active").await["id"], active["id"]);
}

#[tokio::test]
async fn lost_key_files_are_reported_and_not_replaced() {
    let postern = Postern::on_servers().await.with_keys().await;
    let manifest = postern.path("keys/keyring.json");
    let (text, away) = (std::fs::read_to_string(&manifest).expect("a manifest"), postern.path("away"));

    std::fs::rename(&manifest, &away).expect("it is there");
    for arguments in [["keys", "list"], ["keys", "generate"]] {
        let ended = postern.run(&arguments).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("keyring.json is missing"), "{ended:?}");
    }
    std::fs::rename(&away, &manifest).expect("it is there");

    let refresh: Value = serde_json::from_str(&text).expect("JSON");
    let refresh = refresh["keys"].as_array().expect("keys").iter().find(|key| key["purpose"] == "refresh");
    let file = refresh.and_then(|key| key["file"].as_str()).expect("a file").to_owned();
    std::fs::remove_file(postern.path("keys").join(&file)).expect("it is there");
    let ended = postern.run(&["keys", "generate"]).await;
    assert!(ended.code == Some(1) && ended.stderr.contains(&file), "{ended:?}");
    assert_eq!(postern.run(&["keys", "rotate", "refresh", "--emergency"]).await.code, Some(0));
    assert_eq!(postern.run(&["keys", "list"]).await.code, Some(0));
}
