//! The audit trail in the log, in the table, and in the output of the command.

use serde_json::{Value, json};

use crate::support::{PASSWORD, Postern, Response, Serving, sql};

/// Returns the events that the command lists, oldest first.
async fn listed(postern: &Postern, arguments: &[&str]) -> Vec<Value> {
    let mut page = postern.run(&[&["audit", "list", "--json"], arguments].concat()).await.expect_json();
    let Value::Array(mut events) = page["events"].take() else { panic!("{page}") };
    events.reverse();
    events
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().expect("a name")).collect()
}

/// Returns the lines of the log about events.
fn lines(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("audit") && line.contains("event_id")).collect()
}

/// Fails to log in, with a user agent that would break a line or forge fields.
async fn log_in_hostile(serving: &Serving) -> Response {
    let log_in = serving.api().log_in("nobody@example.org", PASSWORD);
    let agent = "x\" user=1\u{85}\u{2028}INFO audit event=\"login\" event_id=1\u{202e}\tä";
    log_in.header("user-agent", agent).header("x-request-id", "hostile").send().await
}

#[tokio::test]
async fn events_are_in_the_table_when_the_process_has_ended() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        serving.signed_up("ada@example.org").await;

        assert_eq!(serving.stopped().await.code, Some(0));

        let events = listed(&postern, &[]).await;
        assert_eq!(names(&events), ["server_started", "sign_up"]);
        assert!(events[0]["detail"].as_str().expect("a text").contains("keys: access active k4.pid."), "{}", events[0]);
        assert_eq!((&events[0]["actor"], &events[0]["address"]), (&json!("server"), &Value::Null));
        assert_eq!((&events[1]["actor"], &events[1]["address"]), (&Value::Null, &json!("127.0.0.1")));
    }
}

#[tokio::test]
async fn event_is_one_log_line_at_any_level_and_with_any_input() {
    for level in ["error", "info", "debug"] {
        let postern = Postern::new().with("POSTERN_LOG", level).with("POSTERN_LOG_FORMAT", "json");
        let serving = postern.serve().await;
        serving.signed_up("ada@example.org").await;
        log_in_hostile(&serving).await.expect(401);

        let log = serving.stopped().await.stderr;

        let events: Vec<Value> =
            lines(&log).iter().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
        assert_eq!(names(&events), ["server_started", "sign_up", "login_failed"], "{log}");
        let [_, sign_up, failed] = &events[..] else { panic!("{log}") };
        assert_eq!((&sign_up["message"], &sign_up["level"]), (&json!("audit"), &json!("INFO")));
        for field in ["event_id", "user", "session", "address", "request_id", "timestamp"] {
            assert!(sign_up[field].is_string(), "{field}: {sign_up}");
        }
        assert_eq!(failed["request_id"], "hostile");
        assert_eq!(failed.get("user"), None);
        let agent = "x\" user=1\u{fffd}\u{fffd}INFO audit event=\"login\" event_id=1\u{fffd}\u{fffd}ä";
        assert_eq!(failed["user_agent"], agent);
        assert!(!log.contains('@') && !log.contains(['\u{2028}', '\u{85}', '\u{202e}']), "{log}");
    }
}

#[tokio::test]
async fn event_is_one_line_of_a_text_log_and_none_if_the_log_is_off() {
    let postern = Postern::new().with("POSTERN_LOG_FORMAT", "text");
    let serving = postern.serve().await;
    log_in_hostile(&serving).await.expect(401);

    let log = serving.stopped().await.stderr;

    let [_, failed] = lines(&log)[..] else { panic!("{log}") };
    assert!(failed.contains(r#" INFO audit event="login_failed" event_id="#), "{failed}");
    assert!(failed.contains(r#" user_agent="x\" user=1"#), "{failed}");
    assert!(
        failed.contains(r#" event=\"login\" event_id=1"#) && failed.contains(r#" request_id="hostile""#),
        "{failed}"
    );

    let silent = Postern::new().with("POSTERN_LOG", "off").serve().await;
    log_in_hostile(&silent).await.expect(401);
    assert_eq!(silent.stopped().await.stderr, "");
}

#[tokio::test]
async fn key_change_is_recorded_with_states_and_without_secrets() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        let tokens = serving.signed_up("ada@example.org").await;
        postern.run(&["keys", "generate", "access"]).await.expect_done();

        serving.meet_unknown_key(&tokens.access).await;

        let log = serving.stopped().await.stderr;
        let events = listed(&postern, &["--event", "keys_changed"]).await;
        let [event] = &events[..] else { panic!("{events:?}") };
        let detail = event["detail"].as_str().expect("a text");
        assert!(detail.contains("access active k4.pid.") && detail.contains("access next k4.pid."), "{detail}");
        assert!(log.contains(detail) && !log.contains("k4.secret") && !log.contains("k4.local."), "{log}");
    }
}

#[tokio::test]
async fn commands_are_recorded_with_the_user_id_of_the_caller() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        let create = ["user", "create", "ada@example.org", "--name", "Ada", "--json"];
        let user = postern.run_with_input(&create, PASSWORD).await.expect_json();
        postern.run(&["user", "deactivate", "ada@example.org"]).await.expect_done();
        postern.run(&["user", "show", "ada@example.org"]).await.expect_done();
        let by_email = listed(&postern, &["--user", "ada@example.org"]).await;
        postern.run(&["user", "delete", "ada@example.org"]).await.expect_done();
        postern.run(&["sessions", "end", "--all"]).await.expect_done();
        drop(serving);

        assert_eq!(names(&by_email), ["admin_user_created", "admin_user_deactivated"]);
        let id = user["id"].as_str().expect("an id");
        let by_id = listed(&postern, &["--user", id, "--since", "1h"]).await;
        assert_eq!(names(&by_id), ["admin_user_created", "admin_user_deactivated", "admin_user_deleted"]);
        let actor = format!("command line, uid {}", rustix::process::getuid().as_raw());
        assert!(by_id.iter().all(|event| event["user"] == id && event["actor"] == actor.as_str()), "{by_id:?}");
        let ended = listed(&postern, &["--event", "admin_all_sessions_ended"]).await;
        assert_eq!(ended.len(), 1);
        let gone = postern.run(&["audit", "list", "--user", "ada@example.org"]).await;
        gone.expect_failed(1, "no such user: ada@example.org");
    }
}

#[tokio::test]
async fn command_without_an_audit_trail_changes_nothing() {
    let [_, postern] = Postern::on_each_backend().await;
    let database = postern.environment.iter().find(|(name, _)| *name == "DATABASE_URL").expect("a URL").1.clone();
    let create = ["user", "create", "ada@example.org", "--name", "Ada"];
    postern.run_with_input(&create, PASSWORD).await.expect_done();
    sql(&database, "ALTER TABLE audit_events RENAME TO somewhere_else").await;

    let reason = "relation \"audit_events\" does not exist";
    let create = ["user", "create", "grace@example.org", "--name", "Grace"];
    postern.run_with_input(&create, PASSWORD).await.expect_failed(1, reason);
    postern.run(&["user", "rename", "ada@example.org", "Ada King"]).await.expect_failed(1, reason);
    postern.run(&["user", "delete", "ada@example.org"]).await.expect_failed(1, reason);

    sql(&database, "ALTER TABLE somewhere_else RENAME TO audit_events").await;
    let users = postern.run(&["user", "export"]).await.expect_done();
    assert!(users.contains(r#""name":"Ada""#) && users.lines().count() == 1, "{users}");
}

#[tokio::test]
async fn events_are_listed_one_a_line() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    serving.signed_up("ada@example.org").await;
    log_in_hostile(&serving).await.expect(401);
    serving.stopped().await;

    let shown = postern.run(&["audit", "list", "--limit", "2"]).await.expect_done();

    let [head, failed, sign_up] = shown.lines().collect::<Vec<_>>()[..] else { panic!("{shown}") };
    assert!(head.starts_with("AT  "), "{head}");
    assert!(sign_up.contains("  sign_up  ") && sign_up.contains("  from 127.0.0.1"), "{sign_up}");
    assert!(failed.contains("  login_failed  ") && failed.contains(r#"  agent "x\" user=1"#), "{failed}");
}
