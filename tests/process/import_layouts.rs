//! `postern import django`: layouts of other projects.

use std::fs;

use serde_json::json;

use super::import::{expect_refused, stored};
use crate::support::{DjangoUser, Postern, django_database, postgres_client, sql};

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
    let ended = postern.run(&import).await;

    assert!(ended.code == Some(0) && ended.stdout.contains("\"imported\":50000"), "{ended:?}");
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

#[tokio::test]
async fn dump_with_natural_foreign_keys_has_its_addresses() {
    let mut objects: Vec<_> = DjangoUser::many(3).iter().map(DjangoUser::object).collect();
    for object in &mut objects {
        object["model"] = json!("Accounts.user");
    }
    for (key, email) in
        [("user1", "User1@example.org"), ("user2@example.org", "user2@example.org"), ("3", "user3@example.org")]
    {
        let fields = json!({"user": [key], "email": email, "verified": true});
        objects.push(json!({"model": "account.emailaddress", "pk": 1, "fields": fields}));
    }
    let postern = Postern::on_migrated_servers().await;
    fs::write(postern.path("dump.json"), serde_json::to_string(&objects).expect("JSON")).expect("a file");

    postern.run(&["import", "django", "--from", "dump.json", "--table", "Accounts.User"]).await.expect_done();

    assert_eq!(verified(&postern).await, ["user1@example.org", "user2@example.org"]);
}

#[tokio::test]
async fn flags_of_custom_models_are_kept() {
    let postern = Postern::new();
    fs::write(postern.path("users.csv"), "id,email,password,active,admin\n1,ada@example.org,!,f,t\n").expect("a file");

    postern.run(&["import", "django", "--from", "users.csv"]).await.expect_done();

    let users = stored(&postern).await;
    assert_eq!((&users[0]["role"], &users[0]["standing"]), (&json!("administrator"), &json!("inactive")));
}
