//! `postern import django`: layouts of other projects.

use std::time::Duration;

use serde_json::json;

use super::import::expect_refused;
use crate::support::{DjangoUser, Postern, django_database, postgres_client, sql, within};

const ADDRESSES: &str =
    "CREATE TABLE account_emailaddress (id integer PRIMARY KEY, email text, verified integer, user_id integer)";

/// Returns the emails that are verified.
async fn verified(postern: &Postern) -> Vec<String> {
    let client = postgres_client(postern.database()).await;
    let rows = client.query("SELECT email FROM users WHERE email_verified ORDER BY email", &[]).await.expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn addresses_belong_to_the_primary_key_and_count_as_integers() {
    let database = django_database(&DjangoUser::many(2)).await;
    sql(&database, "ALTER TABLE auth_user ADD COLUMN uid integer; UPDATE auth_user SET uid = 3 - id").await;
    sql(&database, ADDRESSES).await;
    let addresses =
        "INSERT INTO account_emailaddress VALUES (1, 'User1@example.org', 1, 1), (2, 'user1@example.org', 1, 1),
        (3, 'user2@example.org', 0, 2)";
    sql(&database, addresses).await;
    let postern = Postern::on_migrated_servers().await;

    let import = ["import", "django", "--from", &database, "--id-column", "uid", "--json"];
    let summary = postern.run(&import).await.expect_json();

    assert_eq!((&summary["read"], &summary["imported"]), (&json!(2), &json!(2)));
    assert_eq!(verified(&postern).await, ["user1@example.org"]);
}

#[tokio::test]
async fn many_addresses_are_joined_in_seconds() {
    let database = django_database(&[]).await;
    sql(&database, ADDRESSES).await;
    sql(
        &database,
        "INSERT INTO auth_user SELECT n, '!', NULL, false, 'user' || n, '', '', 'user' || n || '@example.org', false, true, now()
            FROM generate_series(1, 50000) AS n;
         INSERT INTO account_emailaddress SELECT id, email, 1, id FROM auth_user",
    )
    .await;
    let postern = Postern::on_migrated_servers().await;

    let import = ["import", "django", "--from", &database, "--dry-run", "--json"];
    let ended = within(Duration::from_secs(120), "the import", postern.run(&import)).await;

    assert_eq!(ended.expect_json()["imported"], 50_000);
}

#[tokio::test]
async fn missing_privilege_is_named_with_its_grant() {
    let database = django_database(&DjangoUser::many(1)).await;
    sql(&database, ADDRESSES).await;
    let role = format!("reader_{}", std::process::id());
    sql(&database, &format!("CREATE ROLE {role}; GRANT SELECT ON auth_user TO {role}")).await;
    let postern = Postern::new();
    let from = format!("{database}?options=-crole%3D{role}");

    let ended = postern.run(&["import", "django", "--from", &from]).await;
    expect_refused(ended, &format!("expected GRANT SELECT ON public.account_emailaddress TO {role}"));

    sql(&database, &format!("GRANT SELECT (user_id, email, verified) ON account_emailaddress TO {role}")).await;
    postern.run(&["import", "django", "--from", &from]).await.expect_done();
    sql(&database, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}
