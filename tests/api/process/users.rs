//! The commands about users and sessions, beside a server that runs.

use std::net::SocketAddr;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Ended, Postern, Serving};
use crate::{
    asking::{Answer, Asking},
    service::PASSWORD,
    support::PostgresRedis,
};

/// On either kind of store, with keys and schema.
pub async fn each() -> [Postern; 2] {
    let servers = Postern::on_servers().await;
    servers.run(&["keys", "generate"]).await.expect_done();
    servers.run(&["migrate"]).await.expect_done();
    [Postern::new(), servers]
}

impl Ended {
    #[track_caller]
    pub fn expect_done(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self.stdout
    }

    #[track_caller]
    pub fn expect_json(self) -> Value {
        serde_json::from_str(&self.expect_done()).expect("JSON")
    }

    /// It failed, and said why in one line.
    #[track_caller]
    pub fn expect_failed(self, code: i32, why: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        assert!(self.stderr.contains(why), "{self:?}");
        assert!(!self.stderr.contains(PASSWORD), "{self:?}");
    }
}

impl Serving {
    async fn log_in(&self, email: &str, password: &str) -> Answer {
        self.post("/token/", json!({"email": email, "password": password})).send().await
    }

    async fn expect_in_force(&self, tokens: &Value) {
        profile(self.public, tokens).await.expect(200);
        self.post("/refresh/", json!({"refresh": tokens["refresh"]})).send().await.expect(200);
    }

    async fn expect_ended(&self, tokens: &Value) {
        profile(self.public, tokens).await.expect_problem(401, "invalid_token");
        let refresh = self.post("/refresh/", json!({"refresh": tokens["refresh"]})).send().await;
        refresh.expect_problem(401, "invalid_refresh_token");
    }
}

async fn profile(address: SocketAddr, tokens: &Value) -> Answer {
    let bearer = tokens["access"].as_str().expect("a token");
    Asking::new(address, "GET", "/profile/").bearer(bearer).send().await
}

#[tokio::test]
async fn a_user_made_by_the_command_can_log_in_at_once() {
    for postern in each().await {
        let serving = postern.serve().await;

        let create = ["user", "create", "Ada@Example.org", "--name", "Ada Lovelace"];
        let said = postern.run_with_input(&create, "secure_password\n").await.expect_done();

        assert!(said.starts_with("ada@example.org (") && said.ends_with(") has been created\n"), "{said}");
        let tokens = serving.log_in("ada@example.org", PASSWORD).await.expect(200);
        assert_eq!(profile(serving.public, &tokens).await.expect(200)["name"], "Ada Lovelace");
    }
}

#[tokio::test]
async fn an_administrator_can_be_made_before_the_first_server_starts() {
    let postern = Postern::new();

    let create = ["user", "create", "ada@example.org", "--name", "Ada", "--admin", "--json"];
    let user = postern.run_with_input(&create, PASSWORD).await.expect_json();

    assert_eq!((&user["role"], &user["standing"]), (&json!("administrator"), &json!("active")));
    postern.serve().await.log_in("ada@example.org", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn whoever_looks_for_users_where_there_is_no_store_makes_none() {
    let postern = Postern::new();

    for command in [&["user", "list"][..], &["sessions", "end", "--all"], &["user", "delete", "ada@example.org"]] {
        postern.run(command).await.expect_failed(1, "there is no store in ./postern-data");
    }

    assert!(!postern.path("postern-data").exists());
}

#[tokio::test]
async fn the_policy_for_passwords_is_the_same_and_a_taken_email_is_refused() {
    for postern in each().await {
        let create = ["user", "create", "ada@example.org", "--name", "Ada"];

        let refused = postern.run_with_input(&create, "12345\n").await;
        assert!(refused.stderr.contains("at least 8 characters. This password is entirely numeric."), "{refused:?}");
        refused.expect_failed(1, "too easily guessed");
        postern.run_with_input(&create, "").await.expect_failed(1, "it must hold the password");
        postern.run(&["user", "show", "ada@example.org"]).await.expect_failed(1, "there is no user ada@example.org");

        postern.run_with_input(&create, PASSWORD).await.expect_done();
        postern.run_with_input(&create, PASSWORD).await.expect_failed(1, "another user has this email already");
        let set = ["user", "set-password", "ada@example.org"];
        postern.run_with_input(&set, "ada@example.org").await.expect_failed(1, "too similar to the email");
    }
}

#[tokio::test]
async fn users_are_listed_by_pages_and_found_by_search() {
    for postern in each().await {
        let serving = postern.serve().await;
        for email in ["ada@example.org", "grace@example.org", "joan@example.com"] {
            serving.sign_up(email).await;
        }
        let listed = |page: &Value| -> Vec<String> {
            let users = page["users"].as_array().expect("users");
            users.iter().map(|user| user["email"].as_str().expect("an email").to_owned()).collect()
        };

        let first = postern.run(&["user", "list", "--limit", "2", "--json"]).await.expect_json();
        assert_eq!(listed(&first), ["joan@example.com", "grace@example.org"]);
        let next = first["next"].as_str().expect("a cursor");
        let second = postern.run(&["user", "list", "--limit", "2", "--json", "--after", next]).await.expect_json();
        assert_eq!((listed(&second), &second["next"]), (vec!["ada@example.org".to_owned()], &Value::Null));

        let found = postern.run(&["user", "list", "--search", "EXAMPLE.org"]).await.expect_done();
        assert_eq!(found.lines().count(), 3, "{found}");
        assert!(found.contains("grace@example.org, Ada Lovelace") && !found.contains("joan"), "{found}");
        let page = postern.run(&["user", "list", "--limit", "2"]).await.expect_done();
        assert!(page.ends_with(&format!("--after {next}\n")), "{page}");

        // A page that is just full is the last one.
        let whole = postern.run(&["user", "list", "--limit", "3", "--json"]).await.expect_json();
        assert_eq!((listed(&whole).len(), &whole["next"]), (3, &Value::Null));

        // Names are kept in NFC, and whoever searches may type otherwise.
        postern.run(&["user", "rename", "joan@example.com", "Zoë"]).await.expect_done();
        let found = postern.run(&["user", "list", "--search", " zoe\u{308} ", "--json"]).await.expect_json();
        assert_eq!(listed(&found), ["joan@example.com"]);
    }
}

#[tokio::test]
async fn a_user_is_shown_by_email_or_id() {
    let postern = Postern::new();
    postern.serve().await.sign_up("ada@example.org").await;

    let user = postern.run(&["user", "show", "ada@example.org", "--json"]).await.expect_json();
    let shown = postern.run(&["user", "show", user["id"].as_str().expect("an id")]).await.expect_done();

    let words: Vec<_> = shown.lines().map(|line| line.split_whitespace().next().unwrap_or_default()).collect();
    assert_eq!(words, ["id", "email", "name", "role", "status", "created"]);
    assert!(shown.contains("member") && shown.contains("Ada Lovelace"), "{shown}");
}

#[tokio::test]
async fn a_password_that_is_set_ends_every_session_and_the_old_password() {
    for postern in each().await {
        let serving = postern.serve().await;
        let tokens = serving.sign_up("ada@example.org").await;

        let set = postern.run_with_input(&["user", "set-password", "ada@example.org"], "other_password\n").await;
        assert!(set.expect_done().contains("has a new password; every session has ended"));

        serving.expect_ended(&tokens).await;
        serving.log_in("ada@example.org", PASSWORD).await.expect_problem(401, "invalid_credentials");
        serving.log_in("ada@example.org", "other_password").await.expect(200);
    }
}

#[tokio::test]
async fn a_deactivated_user_is_out_and_an_activated_one_logs_in_anew() {
    for postern in each().await {
        let serving = postern.serve().await;
        let tokens = serving.sign_up("ada@example.org").await;

        postern.run(&["user", "deactivate", "ada@example.org"]).await.expect_done();
        serving.expect_ended(&tokens).await;
        serving.log_in("ada@example.org", PASSWORD).await.expect_problem(401, "invalid_credentials");

        postern.run(&["user", "activate", "ada@example.org"]).await.expect_done();
        serving.expect_ended(&tokens).await;
        let tokens = serving.log_in("ada@example.org", PASSWORD).await.expect(200);
        serving.expect_in_force(&tokens).await;
    }
}

#[tokio::test]
async fn a_new_name_is_shown_at_once_and_ends_nothing() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let tokens = serving.sign_up("ada@example.org").await;

    postern.run(&["user", "rename", "ada@example.org", " Ada King "]).await.expect_done();

    assert_eq!(profile(serving.public, &tokens).await.expect(200)["name"], "Ada King");
    serving.expect_in_force(&tokens).await;
}

#[tokio::test]
async fn a_deleted_user_is_gone_and_may_sign_up_again() {
    for postern in each().await {
        let serving = postern.serve().await;
        let tokens = serving.sign_up("ada@example.org").await;

        postern.run(&["user", "delete", "ada@example.org"]).await.expect_done();

        serving.expect_ended(&tokens).await;
        postern.run(&["user", "delete", "ada@example.org"]).await.expect_failed(1, "there is no user");
        serving.sign_up("ada@example.org").await;
        serving.expect_ended(&tokens).await;
    }
}

#[tokio::test]
async fn sessions_of_one_user_or_of_all_are_ended() {
    for postern in each().await {
        let serving = postern.serve().await;
        let (ada, grace) = (serving.sign_up("ada@example.org").await, serving.sign_up("grace@example.org").await);

        postern.run(&["sessions", "end", "--user", "ada@example.org"]).await.expect_done();
        serving.expect_ended(&ada).await;
        serving.expect_in_force(&grace).await;

        let said = postern.run(&["sessions", "end", "--all"]).await.expect_done();
        assert_eq!(said, "ended every session of 2 users\n");
        serving.expect_ended(&grace).await;
        serving.log_in("ada@example.org", PASSWORD).await.expect(200);
    }
}

#[tokio::test]
async fn redis_is_not_needed_to_end_sessions() {
    let [_, postern] = each().await;
    let serving = postern.serve().await;
    let tokens = serving.sign_up("ada@example.org").await;
    // Nobody listens there.
    let postern = postern.with("REDIS_URL", "redis://127.0.0.1:1/0");

    postern.run(&["user", "deactivate", "ada@example.org"]).await.expect_done();

    serving.expect_ended(&tokens).await;
}

#[tokio::test]
async fn a_command_that_waits_for_its_store_heeds_an_interrupt() {
    let database = PostgresRedis::migrated().await.database;
    let postern = Postern::new().with("DATABASE_URL", &database);
    let create = ["user", "create", "ada@example.org", "--name", "Ada"];
    postern.run_with_input(&create, PASSWORD).await.expect_done();
    let connect = async || {
        let (client, connection) = tokio_postgres::connect(&database, tokio_postgres::NoTls).await.expect("PostgreSQL");
        tokio::spawn(connection);
        client
    };
    let (holder, watcher) = (connect().await, connect().await);
    holder.batch_execute("BEGIN; SELECT FROM users FOR UPDATE").await.expect("a lock");
    let holder_pid: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await.expect("a row").get(0);

    let mut command = postern.command(&["user", "rename", "ada@example.org", "Ada King"]);
    let renaming = command.spawn().expect("it starts");
    let waits = "SELECT FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))";
    while watcher.query(waits, &[&holder_pid]).await.expect("rows").is_empty() {}
    let pid = renaming.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs");
    kill_process(pid, Signal::INT).expect("it can be signalled");

    let ended = Ended::of(&renaming.wait_with_output().await.expect("it ends"));
    ended.expect_failed(1, "interrupted: the outcome is unknown");
}

#[tokio::test]
async fn whoever_does_not_read_what_was_done_keeps_it_from_nothing() {
    let postern = Postern::new();
    postern.serve().await.sign_up("ada@example.org").await;

    let mut child = postern.command(&["user", "delete", "ada@example.org"]).spawn().expect("it starts");
    drop(child.stdout.take());

    let ended = child.wait_with_output().await.expect("it ends");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    postern.run(&["user", "show", "ada@example.org"]).await.expect_failed(1, "there is no user");
}

#[tokio::test]
async fn whoever_is_not_named_by_an_email_or_id_is_a_wrong_argument() {
    let postern = Postern::new();

    postern.run(&["user", "show", "ada"]).await.expect_failed(64, "neither an email address nor the id of a user");
    postern.run(&["user", "list", "--after", "x"]).await.expect_failed(64, "not a cursor");
    postern.run(&["user", "list", "--limit", "0"]).await.expect_failed(64, "--limit");
    postern.run(&["user", "create", "ada@example.org"]).await.expect_failed(64, "--name");
    postern.run(&["sessions", "end"]).await.expect_failed(64, "--all|--user");
    postern.run(&["sessions", "end", "--all", "--user", "a@example.org"]).await.expect_failed(64, "cannot be used");
}

#[tokio::test]
async fn a_database_that_is_not_there_or_not_migrated_is_said() {
    let postern = Postern::on_servers().await;
    postern.run(&["user", "list"]).await.expect_failed(1, "run `postern migrate`");

    let postern = postern.with("DATABASE_URL", "postgres://postern@127.0.0.1:1/postern");
    postern.run(&["user", "list"]).await.expect_failed(1, "PostgreSQL: error connecting to server");
}
