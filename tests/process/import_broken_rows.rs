//! `postern import django`: rows that cannot be taken.

use std::fs;

use serde_json::json;

use super::import::{report, stored};
use crate::support::{CSV_HEADER, DJANGO_HASH, DjangoUser, Postern};

fn row(id: &str, email: &str, password: &str, active: &str) -> String {
    format!("{id},{password},,f,name,Ada,,{email},f,{active},2020-01-01 00:00:00+00\n")
}

#[tokio::test]
async fn broken_rows_are_listed_and_stop_no_other() {
    for postern in Postern::on_each_backend().await {
        let rows = [
            row("1", "ada@example.org", DJANGO_HASH, "t"),
            row("", "no-id@example.org", DJANGO_HASH, "t"),
            row("3", "", DJANGO_HASH, "t"),
            row("4", "not an address", DJANGO_HASH, "t"),
            row("5", "=cmd|' /C calc'!A0@example.org", DJANGO_HASH, "t"),
            row("6", "flag@example.org", DJANGO_HASH, "perhaps"),
            "7,too,few\n".to_owned(),
            row("8", "grace@example.org", "pbkdf2_sha256$\u{1b}$", "t"),
            row("9", "Ada@Example.org", DJANGO_HASH, "t"),
            row("10", "repeated@example.org", DJANGO_HASH, "t"),
            row("10", "repeated2@example.org", DJANGO_HASH, "t"),
            row("12", "grace@example.org", DJANGO_HASH, "t"),
            row("13", "zuse@example.org", DJANGO_HASH, "t"),
            row("14", "No-Id@example.org", DJANGO_HASH, "t"),
            row("1\u{1}", "Turing@example.org", DJANGO_HASH, "t"),
            row("", "Hopper@example.org", DJANGO_HASH, "t").replace('\n', ",more\n"),
            row("17", "turing@example.org", DJANGO_HASH, "t"),
            row("18", "hopper@example.org", DJANGO_HASH, "t"),
        ];
        fs::write(postern.path("users.csv"), format!("\u{feff}{CSV_HEADER}{}", rows.concat())).expect("a file");

        let summary = postern.run(&["import", "django", "--from", "users.csv", "--json"]).await.expect_json();

        assert_eq!((&summary["read"], &summary["imported"], &summary["refused"]), (&json!(18), &json!(2), &json!(16)));
        let mut emails: Vec<_> = stored(&postern).await.iter().map(|user| user["email"].to_string()).collect();
        emails.sort();
        // The cells of a row with more fields than the header may be those of other columns: it uses no email.
        assert_eq!(emails, ["\"hopper@example.org\"", "\"zuse@example.org\""]);
        let report = report(&postern);
        assert_eq!(report.len(), 16, "{report:#?}");
        for (row, reason) in [
            (1, "ada@example.org,refused,\"the source has this email more than once"),
            (2, "no-id@example.org,refused,no id"),
            (3, ",refused,no email"),
            (4, "not an address,refused,invalid email"),
            (5, "'=cmd"),
            (6, "flag@example.org,refused,invalid is_active: expected true or false"),
            (7, ",refused,\"3 fields: expected 11"),
            (8, "grace@example.org,refused,password: malformed hash"),
            (9, "ada@example.org,refused,\"the source has this email more than once"),
            (10, "repeated@example.org,refused,the source has this id more than once"),
            (11, "repeated2@example.org,refused,the source has this id more than once"),
            (12, "grace@example.org,refused,\"the source has this email more than once"),
            (14, "no-id@example.org,refused,\"the source has this email more than once"),
            (15, "Turing@example.org,refused,invalid id"),
            (16, ",refused,\"12 fields: expected 11"),
            (17, "turing@example.org,refused,\"the source has this email more than once"),
        ] {
            let start = format!("{row},");
            let line =
                report.iter().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("row {row}: {report:#?}"));
            assert!(line.contains(reason), "{line}");
        }
        assert!(!report.concat().contains(DJANGO_HASH));
    }
}

#[tokio::test]
async fn broken_objects_of_a_dump_stop_no_other() {
    let postern = Postern::new();
    let ada = DjangoUser::new(1, "ada@example.org").object().to_string();
    let grace = DjangoUser::new(9, "grace@example.org").object().to_string();
    let broken = [
        r#"{"model": "auth.user", "pk": 2, "fields": {"email": "\ud800"}}"#,
        r#"{"model": "auth.user", "pk": 3, "fields": []}"#,
        r#"{"model": "auth.user", "pk": 4, "fields": {"email": NaN}}"#,
        r#"{"model": "auth.user", "pk": [5], "fields": {"email": "five@example.org", "password": "!"}}"#,
        r#"{"model": "auth.user", "fields": {"email": "six@example.org", "password": "!"}}"#,
        r#"{"model": "auth.user", "pk": 7, "fields": {"email": null, "password": null}}"#,
        r#"{"model": "auth.group", "pk": 8, "fields": {"name": NaN}}"#,
    ];
    let mut text = format!("[{ada},\n{},\n", broken.join(",\n")).into_bytes();
    text.extend_from_slice(b"{\"model\": \"auth.user\", \"pk\": 8, \"fields\": {\"email\": \"\xff@example.org\"}},\n");
    text.extend_from_slice(format!("{grace}]").as_bytes());
    fs::write(postern.path("dump.json"), text).expect("a file");

    let summary = postern.run(&["import", "django", "--from", "dump.json", "--json"]).await.expect_json();

    assert_eq!((&summary["imported"], &summary["refused"]), (&json!(2), &json!(7)), "{:#?}", report(&postern));
}

#[tokio::test]
async fn long_cells_are_refused_and_long_names_cut() {
    let postern = Postern::new();
    let long = "é".repeat(1500);
    let rows = [
        row("1", &format!("{long}@example.org"), "!", "t"),
        row("2", "hash@example.org", &format!("pbkdf2_sha256$1000${long}$x"), "t"),
        row("3", "name@example.org", "!", "t").replace("Ada", &long),
    ];
    fs::write(postern.path("users.csv"), format!("{CSV_HEADER}{}", rows.concat())).expect("a file");

    let summary = postern.run(&["import", "django", "--from", "users.csv", "--json"]).await.expect_json();

    assert_eq!((&summary["imported"], &summary["refused"]), (&json!(1), &json!(2)), "{:#?}", report(&postern));
    assert!(report(&postern)[0].ends_with("expected at most 2048 bytes"), "{:#?}", report(&postern));
    assert_eq!(stored(&postern).await[0]["name"], "é".repeat(255));
}

#[tokio::test]
async fn implausible_times_are_replaced_and_noted() {
    let postern = Postern::new();
    let times = ["infinity", "1066-10-14 09:00:00+00", "9999-12-31 00:00:00+00", "soon", ""];
    let row = |(id, time)| format!("{id},user{id}@example.org,!,{time},t\n");
    let rows = (1..).zip(times).map(row).collect::<Vec<_>>().concat();
    fs::write(postern.path("users.csv"), format!("id,email,password,date_joined,is_active\n{rows}")).expect("a file");
    let import = ["import", "django", "--from", "users.csv", "--json"];

    let summary = postern.run(&import).await.expect_json();
    assert_eq!((&summary["imported"], &summary["noted"]), (&json!(5), &json!(5)), "{summary}");

    // The ids do not depend on the time of the import.
    assert_eq!(postern.run(&import).await.expect_json()["already_imported"], 5);
}

#[tokio::test]
async fn quotation_mark_without_a_partner_is_found() {
    let postern = Postern::new();
    let rows = "2,user2@example.org,!\n".repeat(1_000_000);
    fs::write(postern.path("users.csv"), format!("id,email,password\n1,\"user1@example.org,!\n{rows}"))
        .expect("a file");

    postern
        .run(&["import", "django", "--from", "users.csv"])
        .await
        .expect_failed(1, "expected a closing quotation mark");

    assert_eq!(stored(&postern).await.len(), 0);
}
