//! `postern import django`: what becomes of the users.

use serde_json::{Value, json};

use crate::support::{
    DJANGO_HASH, DjangoUser, Ended, LONG, Postern, django_database, postgres_client, within, write_csv, write_dump,
};

/// Returns the users of a store in the order of their emails, without what differs from import to import.
pub async fn stored(postern: &Postern) -> Vec<Value> {
    let mut list = postern.run(&["user", "list", "--limit", "1000", "--json"]).await.expect_json();
    let mut users = list["users"].take().as_array().cloned().expect("users");
    users.sort_by_key(|user| user["email"].to_string());
    users
}

/// Returns the lines of the report, without the header.
pub fn report(postern: &Postern) -> Vec<String> {
    let text = std::fs::read_to_string(postern.path("import-rejects.csv")).expect("a report");
    let mut lines = text.lines().map(str::to_owned);
    assert_eq!(lines.next().as_deref(), Some("row,id,email,outcome,reason"));
    lines.collect()
}

/// Returns the details of the audit events of imports, of which there are no others.
pub async fn audit_details(postern: &Postern) -> Vec<String> {
    let events = postern.run(&["audit", "list", "--json"]).await.expect_json();
    let events = events["events"].as_array().expect("events");
    assert!(events.iter().all(|event| event["event"] == "admin_users_imported"), "{events:?}");
    events.iter().rev().map(|event| event["detail"].as_str().expect("a detail").to_owned()).collect()
}

fn varied_users() -> Vec<DjangoUser> {
    let user = DjangoUser::new;
    vec![
        user(1, "Mixed.Case@Example.org"),
        DjangoUser { password: "!unusable".to_owned(), ..user(2, "unusable@example.org") },
        DjangoUser { password: "md5$salt$0123456789abcdef0123456789abcdef".to_owned(), ..user(3, "md5@example.org") },
        DjangoUser { is_active: false, ..user(4, "inactive@example.org") },
        DjangoUser { is_staff: true, ..user(5, "staff@example.org") },
        DjangoUser { is_staff: true, is_superuser: true, ..user(6, "superuser@example.org") },
        user(7, "admin@localhost"),
        user(8, "twice@example.org"),
        user(9, "Twice@example.org"),
        user(10, ""),
        DjangoUser { first_name: String::new(), last_name: String::new(), ..user(11, "nameless@example.org") },
        DjangoUser { first_name: "Zo\në".to_owned(), last_name: "x".repeat(300 - 150), ..user(12, "zoe@example.org") },
    ]
}

#[tokio::test]
async fn every_source_imports_the_same_users_into_every_store() {
    let users = varied_users();
    let database = django_database(&users).await;
    let mut imported = Vec::new();
    for source in ["database", "dump.json", "users.csv"] {
        for postern in Postern::on_each_backend().await {
            write_dump(&postern.path("dump.json"), &users);
            write_csv(&postern.path("users.csv"), &users);
            let from = if source == "database" { &database } else { source };

            let summary = postern.run(&["import", "django", "--from", from, "--json"]).await.expect_json();

            let counts = ["read", "imported", "already_imported", "without_password", "noted", "refused"];
            let counts = counts.map(|name| summary[name].as_u64().expect("a number"));
            assert_eq!(counts, [12, 9, 0, 2, 2, 3], "{source}: {summary}");
            imported.push(stored(&postern).await);
        }
    }

    let first = &imported[0];
    assert!(imported.iter().all(|users| users == first), "{imported:#?}");
    let by_email = |email: &str| first.iter().find(|user| user["email"] == email).unwrap_or_else(|| panic!("{email}"));
    assert_eq!(by_email("mixed.case@example.org")["name"], "Ada Lovelace 1");
    assert_eq!(by_email("mixed.case@example.org")["created"], "2020-01-02T10:12:00Z");
    assert_eq!(by_email("inactive@example.org")["standing"], "inactive");
    assert_eq!(by_email("staff@example.org")["role"], "member");
    assert_eq!(by_email("superuser@example.org")["role"], "administrator");
    assert_eq!(by_email("nameless@example.org")["name"], "user11");
    assert!(by_email("admin@localhost").is_object());
}

#[tokio::test]
async fn hashes_are_kept_and_counted_by_their_recipe() {
    let postern = Postern::on_migrated_servers().await;
    write_csv(&postern.path("users.csv"), &varied_users());

    postern.run(&["import", "django", "--from", "users.csv"]).await.expect_done();

    let database = postgres_client(postern.database()).await;
    let passwords =
        database.query("SELECT DISTINCT password FROM users WHERE password IS NOT NULL", &[]).await.expect("rows");
    assert_eq!(passwords.iter().map(|row| row.get(0)).collect::<Vec<&str>>(), [DJANGO_HASH]);
    let counted = database.query_one("SELECT users FROM imported_hashes", &[]).await.expect("one recipe");
    assert_eq!(counted.get::<_, i64>(0), 7);
    let keys = database.query("SELECT key FROM imported_hashes_key", &[]).await.expect("rows");
    assert_eq!(keys.len(), 1);
}

#[tokio::test]
async fn second_run_inserts_new_users_only_and_maps_the_others() {
    for postern in Postern::on_each_backend().await {
        write_dump(&postern.path("dump.json"), &DjangoUser::many(3));
        let import = ["import", "django", "--from", "dump.json", "--map", "map.csv", "--json"];
        assert_eq!(postern.run(&import).await.expect_json()["imported"], 3);
        let renamed = ["user", "rename", "user1@example.org", "Renamed"];
        postern.run(&renamed).await.expect_done();
        let mut users = DjangoUser::many(4);
        users[1].email = "other@example.org".to_owned();
        // Another kind of source is recognised, too.
        write_csv(&postern.path("users.csv"), &users);

        let import = ["import", "django", "--from", "users.csv", "--map", "map.csv", "--json"];
        let summary = postern.run(&import).await.expect_json();

        assert_eq!((&summary["imported"], &summary["already_imported"]), (&json!(1), &json!(2)), "{summary}");
        let users = stored(&postern).await;
        assert_eq!(
            (users.len(), &users[0]["name"], &users[1]["email"]),
            (4, &json!("Renamed"), &json!("user2@example.org"))
        );
        let map = std::fs::read_to_string(postern.path("map.csv")).expect("a map");
        let line = |(user, id): (&Value, u32)| format!("{id},{}\n", user["id"].as_str().expect("an id"));
        // A changed email may also be that of a user of another project.
        let expected = users.iter().zip(1..).filter(|(_, id)| *id != 2).map(line).collect::<Vec<_>>().concat();
        assert_eq!(map, format!("old_id,new_id\n{expected}"));
        let report = report(&postern);
        assert_eq!(report.len(), 1, "{report:?}");
        assert!(report[0].starts_with("2,2,other@example.org,refused,\"the account with this id has another email"));
    }
}

#[tokio::test]
async fn ids_of_another_project_are_not_mapped_to_strangers() {
    for postern in Postern::on_each_backend().await {
        // Without the time of the sign-up, an id depends on the old id alone.
        let users = |emails: &[&str]| {
            let rows = emails.iter().zip(1..).map(|(email, id)| format!("{id},{email},{DJANGO_HASH},t\n"));
            format!("id,email,password,is_active\n{}", rows.collect::<Vec<_>>().concat())
        };
        std::fs::write(postern.path("first.csv"), users(&["ada@example.org", "grace@example.org"])).expect("a file");
        std::fs::write(postern.path("second.csv"), users(&["eve@example.org", "grace@example.org"])).expect("a file");
        let table = ["--map", "map.csv", "--json"];
        let import = async |file| postern.run(&[&["import", "django", "--from", file][..], &table].concat()).await;
        assert_eq!(import("first.csv").await.expect_json()["imported"], 2);

        let summary = import("second.csv").await.expect_json();

        assert_eq!((&summary["imported"], &summary["refused"]), (&json!(0), &json!(1)), "{summary}");
        let map = std::fs::read_to_string(postern.path("map.csv")).expect("a map");
        assert!(!map.contains("\n1,") && map.contains("\n2,"), "{map}");
        let reason = &report(&postern)[0];
        assert!(reason.contains("another project") && reason.contains("has changed"), "{reason}");
    }
}

#[tokio::test]
async fn written_forms_of_one_uuid_are_a_repeated_id() {
    for postern in Postern::on_each_backend().await {
        let uuid = "0f9e8d7c-6b5a-4c3d-8e1f-a0b1c2d3e4f5";
        let ids = [uuid.to_owned(), uuid.to_uppercase(), uuid.replace('-', "")];
        let rows = ids.iter().zip(1..).map(|(id, row)| format!("{id},user{row}@example.org,{DJANGO_HASH},t\n"));
        let rows = rows.collect::<Vec<_>>().concat();
        std::fs::write(postern.path("users.csv"), format!("id,email,password,is_active\n{rows}")).expect("a file");

        let summary =
            postern.run(&["import", "django", "--from", "users.csv", "--map", "map.csv", "--json"]).await.expect_json();

        assert_eq!((&summary["imported"], &summary["refused"]), (&json!(0), &json!(3)), "{summary}");
        assert_eq!(std::fs::read_to_string(postern.path("map.csv")).expect("a map").lines().count(), 1);
    }
}

#[tokio::test]
async fn email_of_another_account_is_refused_and_not_mapped() {
    for postern in Postern::on_each_backend().await {
        let create = ["user", "create", "user2@example.org", "--name", "Somebody"];
        postern.run_with_input(&create, "secure_password\n").await.expect_done();
        write_csv(&postern.path("users.csv"), &DjangoUser::many(2));

        let import = ["import", "django", "--from", "users.csv", "--map", "map.csv"];
        postern.run(&import).await.expect_done();

        assert_eq!(report(&postern), ["2,2,user2@example.org,refused,another account already has this email"]);
        assert_eq!(std::fs::read_to_string(postern.path("map.csv")).expect("a map").lines().count(), 2);
        assert_eq!(stored(&postern).await[1]["name"], "Somebody");
    }
}

#[tokio::test]
async fn dry_run_reports_as_an_import_and_changes_nothing() {
    for postern in Postern::on_each_backend().await {
        write_csv(&postern.path("users.csv"), &varied_users());

        let summary =
            postern.run(&["import", "django", "--from", "users.csv", "--dry-run", "--json"]).await.expect_json();

        assert_eq!(
            (&summary["imported"], &summary["refused"], &summary["dry_run"]),
            (&json!(9), &json!(3), &json!(true))
        );
        assert_eq!(report(&postern).len(), 5);
        let list = postern.run(&["user", "list", "--json"]).await;
        assert!(list.stderr.contains("no store") || list.expect_json()["users"] == json!([]));
        let audit = postern.run(&["audit", "list", "--json"]).await;
        assert!(audit.stderr.contains("no store") || audit.expect_json()["events"] == json!([]));
    }
}

#[tokio::test]
async fn import_has_two_audit_events_without_personal_data() {
    for postern in Postern::on_each_backend().await {
        write_csv(&postern.path("users.csv"), &DjangoUser::many(2));

        postern.run(&["import", "django", "--from", "users.csv"]).await.expect_done();

        let end = "complete, from a CSV file: read 2, imported 2, already imported 0, refused 0";
        assert_eq!(audit_details(&postern).await, ["started, from a CSV file", end]);
    }
}

#[tokio::test]
async fn import_runs_beside_a_server_which_sees_the_users_at_once() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        let api = serving.api();
        let ada = api.signed_up("ada@example.org").await;
        write_csv(&postern.path("users.csv"), &DjangoUser::many(2500));

        let import = postern.run(&["import", "django", "--from", "users.csv", "--json"]);
        let ends = within(LONG, "the import ends", import);
        tokio::pin!(ends);
        let mut requests = 0;
        let summary = loop {
            tokio::select! {
                summary = &mut ends => break summary.expect_json(),
                response = api.profile(&ada).send() => { response.expect(200); requests += 1; }
            }
        };

        assert_eq!(summary["imported"], 2500);
        assert!(requests > 0);
        let taken = serving.api().sign_up("user7@example.org").send().await;
        assert_eq!(taken.status, 409);
    }
}

#[tokio::test]
async fn staff_become_administrators_only_on_request() {
    let postern = Postern::new();
    write_csv(&postern.path("users.csv"), &[DjangoUser { is_staff: true, ..DjangoUser::new(1, "staff@example.org") }]);

    let import = ["import", "django", "--from", "users.csv", "--staff-as", "administrator"];
    postern.run(&import).await.expect_done();

    assert_eq!(stored(&postern).await[0]["role"], "administrator");
    let invalid = ["import", "django", "--from", "users.csv", "--staff-as", "root"];
    assert_eq!(postern.run(&invalid).await.code, Some(64));
}

impl Postern {
    /// Returns the URL of its database.
    pub fn database(&self) -> &str {
        let (_, url) = self.environment.iter().find(|(name, _)| *name == "DATABASE_URL").expect("a database");
        url
    }
}

/// Checks that a command fails with this reason.
#[track_caller]
pub fn expect_refused(ended: Ended, reason: &str) {
    ended.expect_failed(1, reason);
}

#[tokio::test]
async fn password_of_the_source_is_never_shown() {
    let postern = Postern::on_migrated_servers().await;
    for (from, code, reason) in [
        ("postgres://ada:s3cret@127.0.0.1:1/django", 1, "source: PostgreSQL: "),
        ("postgre://ada:s3cret@127.0.0.1/django", 64, "--from: expected postgres://"),
        ("postgres://ada:s3cret@:x/django", 64, "--from: expected "),
    ] {
        let ended = postern.run(&["import", "django", "--from", from]).await;
        assert!(!ended.stderr.contains("s3cret"), "{ended:?}");
        ended.expect_failed(code, reason);
    }
}
