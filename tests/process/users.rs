//! Commands about users and sessions while a server runs.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Ended, LONG, PASSWORD, Postern, PostgresRedis, eventually, postgres_client, within};

#[tokio::test]
async fn user_created_by_the_command_can_log_in_at_once() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;

        let create = ["user", "create", "Ada@Example.org", "--name", "Ada Lovelace"];
        let output = postern.run_with_input(&create, "secure_password\n").await.expect_done();

        assert!(output.starts_with("ada@example.org (") && output.ends_with(") has been created\n"), "{output}");
        let tokens = serving.api().logged_in("ada@example.org", PASSWORD).await;
        assert_eq!(serving.api().profile(&tokens).send().await.expect(200)["name"], "Ada Lovelace");
    }
}

#[tokio::test]
async fn administrator_can_be_created_before_the_first_start() {
    let postern = Postern::new();

    let create = ["user", "create", "ada@example.org", "--name", "Ada", "--admin", "--json"];
    let user = postern.run_with_input(&create, PASSWORD).await.expect_json();

    assert_eq!((&user["role"], &user["standing"]), (&json!("administrator"), &json!("active")));
    postern.serve().await.api().log_in("ada@example.org", PASSWORD).send().await.expect(200);
}

#[tokio::test]
async fn commands_about_users_create_no_store() {
    let postern = Postern::new();

    for command in [
        &["user", "list"][..],
        &["user", "export"],
        &["sessions", "end", "--all"],
        &["user", "delete", "ada@example.org"],
    ] {
        postern.run(command).await.expect_failed(1, "no store in ./postern-data");
    }

    assert!(!postern.path("postern-data").exists());
}

#[tokio::test]
async fn commands_apply_the_password_policy_and_refuse_taken_emails() {
    for postern in Postern::on_each_backend().await {
        let create = ["user", "create", "ada@example.org", "--name", "Ada"];

        let refused = postern.run_with_input(&create, "12345\n").await;
        assert!(refused.stderr.contains("at least 8 characters. This password is entirely numeric."), "{refused:?}");
        refused.expect_failed(1, "too easily guessed");
        postern.run_with_input(&create, "").await.expect_failed(1, "expected the password");
        postern.run(&["user", "show", "ada@example.org"]).await.expect_failed(1, "no such user: ada@example.org");

        postern.run_with_input(&create, PASSWORD).await.expect_done();
        postern.run_with_input(&create, PASSWORD).await.expect_failed(1, "another user already has this email");
        let set = ["user", "set-password", "ada@example.org"];
        postern.run_with_input(&set, "ada@example.org").await.expect_failed(1, "too similar to the email");
    }
}

pub fn emails(list: &Value) -> Vec<&str> {
    let users = list["users"].as_array().expect("users");
    users.iter().map(|user| user["email"].as_str().expect("an email")).collect()
}

#[tokio::test]
async fn users_are_listed_page_by_page() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        for email in ["ada@example.org", "grace@example.org", "joan@example.com"] {
            serving.signed_up(email).await;
        }

        let first = postern.run(&["user", "list", "--limit", "2", "--json"]).await.expect_json();
        assert_eq!(emails(&first), ["joan@example.com", "grace@example.org"]);
        let next = first["next"].as_str().expect("a cursor");
        let second = postern.run(&["user", "list", "--limit", "2", "--json", "--after", next]).await.expect_json();
        assert_eq!((emails(&second), &second["next"]), (vec!["ada@example.org"], &Value::Null));
        let page = postern.run(&["user", "list", "--limit", "2"]).await.expect_done();
        assert!(page.ends_with(&format!("--after {next}\n")), "{page}");
        let other = postern.run(&["user", "list", "--order", "email", "--after", next]).await;
        other.expect_failed(64, "expected the cursor of a page in the same order");

        // A page that is exactly full is the last one.
        let whole = postern.run(&["user", "list", "--limit", "3", "--json"]).await.expect_json();
        assert_eq!((emails(&whole).len(), &whole["next"]), (3, &Value::Null));
    }
}

#[tokio::test]
async fn users_are_listed_in_each_order_and_by_filters() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        for email in ["joan@example.com", "ada@example.org", "grace@example.org"] {
            serving.signed_up(email).await;
        }
        postern.run(&["user", "rename", "joan@example.com", "Zoë Clarke"]).await.expect_done();
        postern.run(&["user", "deactivate", "grace@example.org"]).await.expect_done();
        postern.run(&["user", "set-role", "ada@example.org", "administrator"]).await.expect_done();
        let all = ["grace@example.org", "ada@example.org", "joan@example.com"];
        let by_email = ["ada@example.org", "grace@example.org", "joan@example.com"];

        for (arguments, expected) in [
            (&[][..], &all[..]),
            (&["--order", "email"], &by_email),
            (&["--order", "email", "--reverse", "--limit", "1"], &by_email[2..]),
            (&["--email-prefix", "GRACE@"], &by_email[1..2]),
            // Names are stored in NFC; a search may use another form.
            (&["--name-word", " zoe\u{308} "], &by_email[2..]),
            (&["--name-word", "clark"], &by_email[2..]),
            (&["--status", "inactive"], &by_email[1..2]),
            (&["--role", "administrator"], &by_email[..1]),
            (&["--role", "administrator", "--status", "inactive"], &[]),
            (&["--created-before", "2020-01-01"], &[]),
            (&["--created-from", "2020-01-01T00:00:00Z"], &all),
        ] {
            let list = postern.run(&[&["user", "list", "--json"], arguments].concat()).await.expect_json();
            assert_eq!(emails(&list), expected, "{arguments:?}");
        }
    }
}

#[tokio::test]
async fn user_is_shown_by_email_or_id() {
    let postern = Postern::new();
    postern.serve().await.signed_up("ada@example.org").await;

    let user = postern.run(&["user", "show", "ada@example.org", "--json"]).await.expect_json();
    let shown = postern.run(&["user", "show", user["id"].as_str().expect("an id")]).await.expect_done();

    let labels: Vec<_> = shown.lines().map(|line| line[..10].trim_end()).collect();
    let expected = ["id", "email", "verified", "name", "role", "status", "password", "created", "last login"];
    assert_eq!(labels, expected);
    assert!(shown.contains("member") && shown.contains("Ada Lovelace"), "{shown}");
    assert_eq!((&user["has_password"], &user["email_verified"]), (&json!(true), &json!(false)));
}

#[tokio::test]
async fn last_login_is_shown_and_listed() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        let create = ["user", "create", "grace@example.org", "--name", "Grace", "--no-password"];
        postern.run(&create).await.expect_done();
        serving.signed_up("ada@example.org").await;

        let has_login = async || {
            let user = postern.run(&["user", "show", "ada@example.org", "--json"]).await.expect_json();
            user["last_login"].is_string()
        };
        eventually(LONG, "the login is recorded", has_login).await;
        let grace = postern.run(&["user", "show", "grace@example.org", "--json"]).await.expect_json();
        assert_eq!((&grace["last_login"], &grace["has_password"]), (&Value::Null, &json!(false)));
        let list = postern.run(&["user", "list", "--order", "last-login", "--json"]).await.expect_json();
        assert_eq!(emails(&list), ["ada@example.org", "grace@example.org"]);
    }
}

#[tokio::test]
async fn set_password_ends_every_session() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        let tokens = serving.signed_up("ada@example.org").await;

        let set = postern.run_with_input(&["user", "set-password", "ada@example.org"], "other_password\n").await;
        assert!(set.expect_done().contains("has a new password; every session has ended"));

        serving.api().expect_ended(&tokens).await;
        serving.api().log_in("ada@example.org", PASSWORD).send().await.expect_problem(401, "invalid_credentials");
        serving.api().log_in("ada@example.org", "other_password").send().await.expect(200);
    }
}

#[tokio::test]
async fn deactivated_user_is_logged_out_until_activated() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        let tokens = serving.signed_up("ada@example.org").await;

        postern.run(&["user", "deactivate", "ada@example.org"]).await.expect_done();
        serving.api().expect_ended(&tokens).await;
        serving.api().log_in("ada@example.org", PASSWORD).send().await.expect_problem(401, "invalid_credentials");

        postern.run(&["user", "activate", "ada@example.org"]).await.expect_done();
        serving.api().expect_ended(&tokens).await;
        let tokens = serving.api().logged_in("ada@example.org", PASSWORD).await;
        serving.api().expect_valid(&tokens).await;
    }
}

#[tokio::test]
async fn renamed_user_keeps_all_sessions() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let tokens = serving.signed_up("ada@example.org").await;

    postern.run(&["user", "rename", "ada@example.org", " Ada King "]).await.expect_done();

    assert_eq!(serving.api().profile(&tokens).send().await.expect(200)["name"], "Ada King");
    serving.api().expect_valid(&tokens).await;
}

#[tokio::test]
async fn deleted_user_is_gone_and_may_sign_up_again() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        let tokens = serving.signed_up("ada@example.org").await;

        postern.run(&["user", "delete", "ada@example.org"]).await.expect_done();

        serving.api().expect_ended(&tokens).await;
        postern.run(&["user", "delete", "ada@example.org"]).await.expect_failed(1, "no such user");
        serving.signed_up("ada@example.org").await;
        serving.api().expect_ended(&tokens).await;
    }
}

#[tokio::test]
async fn sessions_of_one_user_or_of_all_are_ended() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        let (ada, grace) = (serving.signed_up("ada@example.org").await, serving.signed_up("grace@example.org").await);

        postern.run(&["sessions", "end", "--user", "ada@example.org"]).await.expect_done();
        serving.api().expect_ended(&ada).await;
        serving.api().expect_valid(&grace).await;

        let output = postern.run(&["sessions", "end", "--all"]).await.expect_done();
        assert_eq!(output, "ended every session of 2 users\n");
        serving.api().expect_ended(&grace).await;
        serving.api().log_in("ada@example.org", PASSWORD).send().await.expect(200);
    }
}

#[tokio::test]
async fn redis_is_not_needed_to_end_sessions() {
    let [_, postern] = Postern::on_each_backend().await;
    let serving = postern.serve().await;
    let tokens = serving.signed_up("ada@example.org").await;
    // Nothing listens there.
    let postern = postern.with("REDIS_URL", "redis://127.0.0.1:1/0");

    postern.run(&["user", "deactivate", "ada@example.org"]).await.expect_done();

    serving.api().expect_ended(&tokens).await;
}

#[tokio::test]
async fn command_that_waits_for_its_store_can_be_interrupted() {
    let database = PostgresRedis::migrated().await.database;
    let postern = Postern::new().with("DATABASE_URL", &database);
    let create = ["user", "create", "ada@example.org", "--name", "Ada"];
    postern.run_with_input(&create, PASSWORD).await.expect_done();
    let (holder, watcher) = (postgres_client(&database).await, postgres_client(&database).await);
    holder.batch_execute("BEGIN; SELECT FROM users FOR UPDATE").await.expect("a lock");
    let holder_pid: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await.expect("a row").get(0);

    let mut command = postern.command(&["user", "rename", "ada@example.org", "Ada King"]);
    let renaming = command.spawn().expect("it starts");
    let waits = "SELECT FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))";
    let is_waiting = async || !watcher.query(waits, &[&holder_pid]).await.expect("rows").is_empty();
    eventually(LONG, "the command waits for the lock", is_waiting).await;
    let pid = renaming.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs");
    kill_process(pid, Signal::INT).expect("it can be signalled");

    let ended = Ended::of(&within(LONG, "the command ends", renaming.wait_with_output()).await.expect("a status"));
    ended.expect_failed(1, "interrupted: the outcome is unknown");
}

#[tokio::test]
async fn command_with_a_closed_output_succeeds() {
    let postern = Postern::new();
    postern.serve().await.signed_up("ada@example.org").await;

    let mut child = postern.command(&["user", "delete", "ada@example.org"]).spawn().expect("it starts");
    drop(child.stdout.take());

    let ended = within(LONG, "the command ends", child.wait_with_output()).await.expect("a status");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    postern.run(&["user", "show", "ada@example.org"]).await.expect_failed(1, "no such user");
}

#[tokio::test]
async fn user_must_be_named_by_email_or_id() {
    let postern = Postern::new();

    postern.run(&["user", "show", "ada"]).await.expect_failed(64, "expected an email address or a user id");
    postern.run(&["user", "list", "--after", "x"]).await.expect_failed(64, "expected the cursor");
    postern.run(&["user", "delete"]).await.expect_failed(64, "USER");
    postern.run(&["user", "set-role", "ada@example.org", "root"]).await.expect_failed(64, "member, administrator");
    postern.run(&["user", "list", "--limit", "0"]).await.expect_failed(64, "--limit");
    postern.run(&["user", "create", "ada@example.org"]).await.expect_failed(64, "--name");
    postern.run(&["sessions", "end"]).await.expect_failed(64, "--all|--user");
    postern.run(&["sessions", "end", "--all", "--user", "a@example.org"]).await.expect_failed(64, "cannot be used");
}

#[tokio::test]
async fn missing_or_unmigrated_database_is_reported() {
    let postern = Postern::on_servers().await;
    postern.run(&["user", "list"]).await.expect_failed(1, "run `postern migrate`");

    let postern = postern.with("DATABASE_URL", "postgres://postern@127.0.0.1:1/postern");
    postern.run(&["user", "list"]).await.expect_failed(1, "PostgreSQL: error connecting to server");
}
