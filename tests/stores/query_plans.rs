//! How PostgreSQL runs the statements of requests.

use std::fs;

use super::suite::Fixture;
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
        client.batch_execute(&format!("PREPARE statement AS {query}")).await.expect(&name);
        let nulls = vec!["NULL"; parameters(&query)].join(", ");
        let arguments = if nulls.is_empty() { nulls } else { format!("({nulls})") };
        let plan = client.query(&format!("EXPLAIN EXECUTE statement{arguments}"), &[]).await.expect(&name);
        client.batch_execute("DEALLOCATE statement").await.expect("a statement");
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");

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
