//! `postern import django`: CSV files with faults.

use std::fs;

use serde_json::json;

use super::import::{expect_refused, report, stored};
use crate::support::{DJANGO_HASH, Postern};

/// Runs an import of this CSV file, which fails. Checks that nothing of the users is shown, and that nobody was imported.
async fn expect_stopped(content: &str, reason: &str) {
    let postern = Postern::new();
    fs::write(postern.path("users.csv"), content).expect("a file");

    let ended = postern.run(&["import", "django", "--from", "users.csv"]).await;

    for secret in [DJANGO_HASH, "ada@example.org"] {
        assert!(!ended.stderr.contains(secret), "{content}");
    }
    expect_refused(ended, reason);
    assert!(stored(&postern).await.is_empty(), "{content}");
}

#[tokio::test]
async fn file_without_a_header_is_not_repeated() {
    for content in [
        format!("1,ada@example.org,{DJANGO_HASH}\n2,b@example.org,!\n"),
        format!("1;{DJANGO_HASH};ada\n"),
        format!("1|ada|{DJANGO_HASH}\n"),
        format!("1,{}\n", "0123456789abcdef".repeat(4)),
    ] {
        expect_stopped(&content, "expected a header").await;
    }
}

#[tokio::test]
async fn quotation_mark_that_takes_other_rows_stops_the_import() {
    let header = "id,email,password,name\n";
    let row = |id: u64, name: &str| format!("{id},user{id}@example.org,{DJANGO_HASH},{name}\n");
    let rows = [row(2, "Grace"), row(3, "\"Zuse, K.\"")].concat();
    expect_stopped(&format!("{header}1,a@example.org,!,\"Ada\n{rows}"), "a quotation mark without a partner").await;
    expect_stopped(&format!("{header}{rows}4,a@example.org,!,\"Ada\n{}", row(5, "Hopper")), "the file ends early")
        .await;
}

#[tokio::test]
async fn file_that_ends_in_a_row_stops_the_import() {
    let whole = format!("id,email,password,name\n1,ada@example.org,{DJANGO_HASH},Ada\n2,b@example.org,!,Grace");
    for cut in [&whole[..whole.len() - 8], &whole[..whole.len() - 18]] {
        expect_stopped(cut, "the file ends early: expected 4 fields in row 2").await;
    }

    let postern = Postern::new();
    fs::write(postern.path("users.csv"), &whole).expect("a file");
    let ended = postern.run(&["import", "django", "--from", "users.csv"]).await;
    assert!(ended.code == Some(0) && ended.stderr.contains("no line end"), "{ended:?}");
    assert_eq!(stored(&postern).await.len(), 2);
}

#[tokio::test]
async fn cells_of_another_row_are_refused_and_not_reported() {
    let postern = Postern::new();
    let rows = [
        "id,email,password,name,bio,active\n".to_owned(),
        format!("1,a,{DJANGO_HASH},Ada,,t\n"),
        format!("2,{DJANGO_HASH},b@example.org,Ada,t\n"),
        format!("3,Ada,{DJANGO_HASH},c@example.org,,,t\n"),
        format!("4,d@example.org,{DJANGO_HASH},\"\n5,e@example.org,{DJANGO_HASH},\",,t\n"),
        format!("6,\"f@example.org\n7\",{DJANGO_HASH},,,t\n"),
        format!("8,\"g@example.org\"x,{DJANGO_HASH},,,t\n"),
        format!("9,h@example.org,{DJANGO_HASH},\"Ada\nLovelace\",\"one,\ntwo\",t\n"),
        format!("10,{DJANGO_HASH},!,,,t\n"),
    ];
    fs::write(postern.path("users.csv"), rows.concat()).expect("a file");

    let summary = postern.run(&["import", "django", "--from", "users.csv", "--json"]).await.expect_json();

    let report = report(&postern);
    assert_eq!((&summary["imported"], &summary["refused"]), (&json!(1), &json!(7)), "{report:#?}");
    assert!(!report.concat().contains(DJANGO_HASH), "{report:#?}");
    assert_eq!(stored(&postern).await[0]["email"], "h@example.org");
}

#[tokio::test]
async fn column_that_occurs_twice_is_an_error_if_it_is_read() {
    expect_stopped("id,email,password,email\n1,ada@example.org,!,b@example.org\n", "several columns `email`").await;

    let postern = Postern::new();
    fs::write(postern.path("users.csv"), "id,email,password,x,x,active\n1,ada@example.org,!,1,2,t\n").expect("a file");
    postern.run(&["import", "django", "--from", "users.csv"]).await.expect_done();
}
