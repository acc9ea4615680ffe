//! How PostgreSQL runs the statements of requests.

use std::fs;

use tokio_postgres::Client;

use super::{
    directory::{START, login},
    suite::Fixture,
};
use crate::support::postgres_client;

/// A task of the server counts users, and a command ends the sessions of all users.
const EXCEPTIONS: [&str; 2] = ["users.imported_hashes.sql", "admin.end_all_sessions.sql"];

/// Imports and migrations have tables of their own, and the check of the schema reads no table of users or events.
const OTHERS: [&str; 3] = ["import.", "migration.", "schema."];

/// The planner avoids these if a statement can do without, however small the tables are.
const SETTINGS: &str = "SET enable_seqscan = off; SET enable_sort = off; SET enable_incremental_sort = off;
                        SET plan_cache_mode = force_generic_plan";

/// Returns the number of parameters of a statement.
fn parameters(query: &str) -> usize {
    (1..40).rev().find(|number| query.contains(&format!("${number}"))).unwrap_or(0)
}

async fn generic_plan(client: &Client, query: &str) -> String {
    client.batch_execute(&format!("PREPARE statement AS {query}")).await.expect(query);
    let nulls = vec!["NULL"; parameters(query)].join(", ");
    let arguments = if nulls.is_empty() { nulls } else { format!("({nulls})") };
    let plan = client.query(&format!("EXPLAIN EXECUTE statement{arguments}"), &[]).await.expect(query);
    client.batch_execute("DEALLOCATE statement").await.expect("a statement");
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    plan.join("\n")
}

#[tokio::test]
async fn no_statement_of_a_request_scans_or_sorts_a_table() {
    let fixture = Fixture::empty().await;
    let client = postgres_client(&fixture.backend.database).await;
    client.batch_execute(SETTINGS).await.expect("settings");
    let mut read = Vec::new();
    for file in fs::read_dir("sql/postgres/queries").expect("a directory") {
        let file = file.expect("a file");
        let name = file.file_name().into_string().expect("a name");
        if EXCEPTIONS.contains(&&*name) || OTHERS.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let query = fs::read_to_string(file.path()).expect("a text");
        let plan = generic_plan(&client, &query).await;

        for table in ["users", "audit_events", "user_summaries", "user_name_words", "hourly_statistics"] {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{name}:\n{plan}");
        }
        // Statistics are sorted by name within the hours of the range.
        if name.contains(".page_") {
            assert!(!plan.contains("Sort"), "{name}:\n{plan}");
            read.push(name);
        }
    }
    assert_eq!(read.len(), 18, "{read:?}");
}

/// Neighbours in the orders of these pages are anywhere in their table.
#[tokio::test]
async fn pages_of_scattered_rows_are_read_from_their_index_alone() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    fixture.logged_in(&[login(&user, START)]).await;
    let client = postgres_client(&fixture.backend.database).await;
    client.batch_execute("VACUUM ANALYZE users, user_summaries, audit_events").await.expect("a vacuum");
    client.batch_execute(SETTINGS).await.expect("settings");
    for (page, index) in [
        ("users.page_email_ascending", "user_summaries_by_email"),
        ("users.page_email_descending", "user_summaries_by_email"),
        ("users.page_logins_ascending", "user_summaries_by_last_login"),
        ("users.page_logins_descending", "user_summaries_by_last_login"),
        ("users.page_administrators_ascending", "user_summaries_administrators"),
        ("users.page_administrators_descending", "user_summaries_administrators"),
        ("users.page_inactive_ascending", "user_summaries_inactive"),
        ("users.page_inactive_descending", "user_summaries_inactive"),
        ("audit.page_user", "audit_events_of_users"),
        ("audit.page_address", "audit_events_by_address"),
    ] {
        let query = fs::read_to_string(format!("sql/postgres/queries/{page}.sql")).expect("a text");
        let plan = generic_plan(&client, &query).await;

        let is_alone = plan.contains(&format!("Index Only Scan using {index}"))
            || plan.contains(&format!("Index Only Scan Backward using {index}"));
        assert!(is_alone, "{page}:\n{plan}");
    }
}

#[tokio::test]
async fn estimate_of_users_needs_statistics() {
    let fixture = Fixture::empty().await;
    for local in ["ada", "grace", "joan"] {
        fixture.inserted(&format!("{local}@example.org")).await;
    }
    let estimate = async || fixture.stores.directory.estimated_users(&crate::support::time()).await;
    assert_eq!(estimate().await, Ok(None));

    postgres_client(&fixture.backend.database).await.batch_execute("ANALYZE users").await.expect("statistics");

    assert_eq!(estimate().await, Ok(Some(3)));
}
