//! PostgreSQL databases that no wait makes usable: at the start, and when the server stops.

use std::time::{Duration, Instant};

use crate::support::{
    LONG, PASSWORD, Postern, PrivatePostgres, Serving, empty_database_in, eventually, redis_url, sql,
};

/// `POSTERN_SHUTDOWN_GRACE`: far longer than a stop that waits for nothing.
const GRACE: Duration = Duration::from_secs(50);

/// Prepares the program on a PostgreSQL of its own, whose role is no superuser.
async fn on_private_postgres() -> (PrivatePostgres, Postern) {
    let postgres = PrivatePostgres::start().await;
    let postern = Postern::on(postgres.url("first"), redis_url()).with_keys().await.migrated().await;
    (postgres, postern.with("POSTERN_SHUTDOWN_GRACE", format!("{}s", GRACE.as_secs())))
}

#[tokio::test]
async fn database_that_is_not_utf8_is_refused_at_the_start() {
    let database = empty_database_in("LATIN1").await;
    let name = database.rsplit('/').next().expect("a name").to_owned();
    let postern = Postern::on(&database, redis_url()).with_keys().await;

    for arguments in [&["migrate"][..], &["serve"], &["user", "list"]] {
        let ended = postern.run(arguments).await;
        ended.expect_failed(1, &format!("database `{name}` has the encoding LATIN1, expected UTF8"));
    }
    sql(&database, "CREATE TABLE users (id int)").await;
}

#[tokio::test]
async fn database_in_sql_ascii_is_warned_about_at_the_start() {
    let database = empty_database_in("SQL_ASCII").await;
    let postern = Postern::on(database, redis_url()).with_keys().await.migrated().await;

    let mut serving = postern.serve().await;

    let warning = serving.logged_json("the database has the encoding SQL_ASCII").await;
    assert_eq!(warning["level"], "WARN");
    serving.signed_up("ada@example.org").await;
}

#[tokio::test]
async fn missing_privilege_stops_the_start() {
    let (postgres, postern) = on_private_postgres().await;
    sql(&postgres.administration_of_service(), "REVOKE ALL ON refinery_schema_history FROM service").await;

    let ended = postern.run(&["serve"]).await;

    ended.expect_failed(1, "permission denied for table refinery_schema_history (42501)");
}

/// Waits until the metric has this value.
async fn has_metric(serving: &Serving, name: &str, value: u64) {
    eventually(LONG, name, async || serving.metric::<u64>(name).await == value).await;
}

/// Stops the server, which must not wait for its grace period. Returns its log.
async fn stopped_at_once(serving: Serving) -> String {
    let begun = Instant::now();
    let ended = serving.stopped().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(begun.elapsed() < GRACE / 2, "{:?}", begun.elapsed());
    ended.stderr
}

#[tokio::test]
async fn stop_does_not_wait_for_a_misconfigured_audit_table() {
    let (postgres, postern) = on_private_postgres().await;
    sql(&postgres.administration_of_service(), "REVOKE INSERT ON audit_events FROM service").await;
    let serving = postern.serve().await;
    serving.signed_up("ada@example.org").await;
    has_metric(&serving, "postern_audit_table_misconfigured", 1).await;

    let log = stopped_at_once(serving).await;

    assert!(log.contains("permission denied for table audit_events (42501)"), "{log}");
    assert!(log.contains("stopped with unwritten audit events"), "{log}");
}

#[tokio::test]
async fn stop_does_not_wait_for_a_rejected_audit_event() {
    let (postgres, postern) = on_private_postgres().await;
    let constraint = "ALTER TABLE audit_events ADD CONSTRAINT plain CHECK (user_agent ~ '^[ -~]*$')";
    sql(&postgres.administration_of_service(), constraint).await;
    let serving = postern.serve().await;
    let login = serving.api().log_in("nobody@example.org", PASSWORD).header("user-agent", "\u{5f20}\u{4f1f}");
    login.send().await.expect(401);
    serving.signed_up("ada@example.org").await;

    let log = stopped_at_once(serving).await;

    let rejected = log.lines().filter(|line| line.contains("audit event rejected by the table")).collect::<Vec<_>>();
    let [rejected] = rejected[..] else { panic!("{log}") };
    assert!(rejected.contains("login_failed") && rejected.contains("event_id"), "{rejected}");
    assert!(rejected.contains("violates check constraint") && !rejected.contains('\u{5f20}'), "{rejected}");
    assert!(!log.contains("stopped with unwritten audit events"), "{log}");
    let stored = postern.run(&["audit", "list", "--json"]).await.expect_done();
    assert!(stored.contains("server_started") && stored.contains("sign_up"), "{stored}");
    assert!(!stored.contains("login_failed"), "{stored}");
}
