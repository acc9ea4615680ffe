//! `postern import django`: the sources and their layouts.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use super::import::{expect_refused, stored};
use crate::support::{
    DJANGO_HASH, DjangoUser, Ended, Postern, django_database, empty_database, sql, write_csv, write_dump,
};

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).expect("JSON")
}

#[tokio::test]
async fn custom_model_is_found_with_its_key_name_and_time() {
    let postern = Postern::new();
    let database = empty_database().await;
    sql(
        &database,
        &format!(
            "CREATE SCHEMA app;
             CREATE TABLE app.\"People \"\"x\"\"; DROP\" (uid uuid PRIMARY KEY, password text, last_login timestamptz, email text,
                full_name text, is_active boolean, created_at timestamptz, confirmed boolean);
             INSERT INTO app.\"People \"\"x\"\"; DROP\" VALUES ('00000000-0000-4000-8000-000000000001', '{DJANGO_HASH}', NULL,
                'ada@example.org', 'Ada Lovelace', true, '2021-05-06 07:08:09Z', true);
             CREATE TABLE users (id integer, email text, password text)"
        ),
    )
    .await;

    let import = ["import", "django", "--from", &database, "--verified-column", "confirmed", "--map", "map.csv"];
    postern.run(&import).await.expect_done();

    let users = stored(&postern).await;
    assert_eq!((&users[0]["name"], &users[0]["created"]), (&json!("Ada Lovelace"), &json!("2021-05-06T07:08:09Z")));
    assert!(
        fs::read_to_string(postern.path("map.csv")).expect("a map").contains("\n00000000-0000-4000-8000-000000000001,")
    );
    let named = ["import", "django", "--from", &database, "--table", "app.People \"x\"; DROP"];
    assert!(postern.run(&named).await.expect_done().contains("already imported   1"));
}

#[tokio::test]
async fn several_tables_of_users_are_listed() {
    let postern = Postern::new();
    let database = django_database(&DjangoUser::many(1)).await;
    sql(&database, "CREATE TABLE shop_user (LIKE auth_user)").await;

    let import = ["import", "django", "--from", &database];
    expect_refused(postern.run(&import).await, "expected --table with one of auth_user, shop_user");

    let hostile = ["import", "django", "--from", &database, "--table", "auth_user; DROP TABLE auth_user"];
    expect_refused(postern.run(&hostile).await, "invalid --table: expected one of auth_group, auth_user, shop_user");
    postern.run(&[&import[..], &["--table", "public.auth_user"]].concat()).await.expect_done();
}

#[tokio::test]
async fn missing_columns_are_named_with_those_that_exist() {
    let postern = Postern::new();
    fs::write(postern.path("users.csv"), "id;login;password;active\n1;ada@example.org;!;t\n").expect("a file");

    expect_refused(
        postern.run(&["import", "django", "--from", "users.csv"]).await,
        "no column `email`: expected --email-column with one of id, login, password, active",
    );

    let import = ["import", "django", "--from", "users.csv", "--email-column", "login"];
    postern.run(&import).await.expect_done();
    assert_eq!(stored(&postern).await[0]["email"], "ada@example.org");
}

#[tokio::test]
async fn verified_addresses_of_allauth_count() {
    let users = DjangoUser::many(3);
    let database = django_database(&users).await;
    sql(
        &database,
        "CREATE TABLE account_emailaddress (id integer PRIMARY KEY, email varchar(254), verified boolean, \"primary\" boolean,
            user_id integer REFERENCES auth_user);
         INSERT INTO account_emailaddress VALUES (1, 'USER1@example.org', true, true, 1), (2, 'user2@example.org', false, true, 2),
            (3, 'other@example.org', true, false, 3)",
    )
    .await;
    let address = |id: u64, user: u64, email: &str, verified: bool| json!({"model": "account.emailaddress", "pk": id, "fields": {"user": user, "email": email, "verified": verified}});
    let addresses = [
        address(1, 1, "USER1@example.org", true),
        address(2, 2, "user2@example.org", false),
        address(3, 3, "other@example.org", true),
    ];
    let objects: Vec<_> = users.iter().map(DjangoUser::object).chain(addresses).collect();
    for from in [database.as_str(), "dump.json"] {
        let postern = Postern::on_migrated_servers().await;
        fs::write(postern.path("dump.json"), serde_json::to_string(&objects).expect("JSON")).expect("a file");

        postern.run(&["import", "django", "--from", from]).await.expect_done();

        let client = crate::support::postgres_client(postern.database()).await;
        let verified = client.query("SELECT email FROM users WHERE email_verified", &[]).await.expect("rows");
        assert_eq!(verified.iter().map(|row| row.get(0)).collect::<Vec<&str>>(), ["user1@example.org"], "{from}");
    }
}

#[tokio::test]
async fn url_of_the_source_may_be_in_a_private_file() {
    let postern = Postern::new();
    let database = django_database(&DjangoUser::many(1)).await;
    let path = postern.path("url");
    fs::write(&path, format!("{database}\n")).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
    let import = ["import", "django", "--from-file", "url"];

    expect_refused(postern.run(&import).await, "others must not read it");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
    postern.run(&import).await.expect_done();
    assert_eq!(stored(&postern).await.len(), 1);
}

#[tokio::test]
async fn dump_with_an_object_on_each_line_is_read() {
    let postern = Postern::new();
    let lines = DjangoUser::many(2).iter().map(|user| format!("{}\n", user.object())).collect::<Vec<_>>().concat();
    fs::write(postern.path("dump.jsonl"), lines).expect("a file");

    postern.run(&["import", "django", "--from", "dump.jsonl", "--table", "auth.User"]).await.expect_done();

    assert_eq!(stored(&postern).await.len(), 2);
}

#[tokio::test]
async fn files_of_other_kinds_are_rejected() {
    let postern = Postern::new();
    for (content, reason) in [
        (b"\x1f\x8b\x08\0".as_slice(), "compressed"),
        (b"SQLite format 3\0", "expected JSON of dumpdata, or CSV"),
        (b"\xff\xfei\0d\0", "iconv -f UTF-16LE -t UTF-8"),
        (b"i\0d\0,\0", "iconv -f UTF-16LE -t UTF-8"),
        (b"System check identified no issues.\n[{\"model\": \"auth.user\"}]", "text before the JSON array"),
        (b"[INFO] ready\n[{\"model\": \"auth.user\"}]", "unexpected text before"),
        (b"[{\"model\": \"auth.user\", \"pk\": 1, \"fields\": {", "the file ends early"),
        (b"", "no column `id`"),
        (b"[]", "found no table"),
    ] {
        fs::write(postern.path("users"), content).expect("a file");
        expect_refused(postern.run(&["import", "django", "--from", "users"]).await, reason);
    }
    for source in ["/dev/null", "."] {
        expect_refused(postern.run(&["import", "django", "--from", source]).await, "expected a regular file");
    }
    expect_refused(postern.run(&["import", "django", "--from", "absent"]).await, "absent: No such file");
    assert!(!postern.path("postern-data/postern.db").exists() || stored(&postern).await.is_empty());
}

#[tokio::test]
async fn truncated_dump_imports_nobody() {
    let postern = Postern::new();
    write_dump(&postern.path("dump.json"), &DjangoUser::many(50));
    let text = fs::read(postern.path("dump.json")).expect("a dump");
    fs::write(postern.path("dump.json"), &text[..text.len() - 10]).expect("a file");

    expect_refused(
        postern.run(&["import", "django", "--from", "dump.json"]).await,
        "the file ends early: expected `]`",
    );

    assert_eq!(stored(&postern).await.len(), 0);
}

#[tokio::test]
async fn map_and_report_are_private_and_must_be_writable() {
    let postern = Postern::new();
    write_csv(&postern.path("users.csv"), &DjangoUser::many(1));

    for name in ["map.csv", "rejects.csv"] {
        fs::write(postern.path(name), "a former run").expect("a file");
        fs::set_permissions(postern.path(name), fs::Permissions::from_mode(0o644)).expect("ours");
    }

    let import = ["import", "django", "--from", "users.csv", "--map", "map.csv", "--rejects", "rejects.csv"];
    postern.run(&import).await.expect_done();

    for name in ["map.csv", "rejects.csv"] {
        let mode = fs::metadata(postern.path(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    for option in ["--map", "--rejects"] {
        let import = ["import", "django", "--from", "users.csv", option, "absent/file.csv"];
        expect_refused(postern.run(&import).await, "absent/file.csv");
    }
}

#[tokio::test]
async fn source_is_read_by_tls_with_an_authority_of_its_own() {
    let postern = Postern::new();
    let database = format!("{}?sslmode=verify-full", django_database(&DjangoUser::many(1)).await);
    let certificate = crate::support::variable("POSTERN_TEST_CERTIFICATE");
    let import = ["import", "django", "--from", &database];

    expect_refused(postern.run(&import).await, "--from-ca");
    expect_refused(
        postern.run(&["import", "django", "--from", "users.csv", "--from-ca", &certificate]).await,
        "the source does not switch TLS on",
    );

    postern.run(&[&import[..], &["--from-ca", &certificate]].concat()).await.expect_done();
    assert_eq!(stored(&postern).await.len(), 1);
}

#[tokio::test]
async fn source_without_times_and_flags_has_active_members_without_notes() {
    let postern = Postern::new();
    fs::write(postern.path("users.csv"), "id,email,password\n1,ada@example.org,!\n").expect("a file");

    let import = ["import", "django", "--from", "users.csv", "--json"];
    let ended = postern.run(&import).await;
    assert_eq!(ended.stderr, "postern: no column `is_active` or `active`: every imported account becomes active\n");
    assert_eq!(json(&ended)["noted"], 0);

    let users = stored(&postern).await;
    assert_eq!((&users[0]["role"], &users[0]["standing"]), (&json!("member"), &json!("active")));
    assert_eq!(json(&postern.run(&import).await)["already_imported"], 1);
}

#[tokio::test]
async fn source_may_be_read_only() {
    let postern = Postern::new();
    let database = django_database(&DjangoUser::many(1)).await;
    let standby = format!("{database}?options=-cdefault_transaction_read_only%3Don");

    postern.run(&["import", "django", "--from", &standby]).await.expect_done();

    assert_eq!(stored(&postern).await.len(), 1);
}
