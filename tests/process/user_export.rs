//! `postern user export`

use std::{fs::OpenOptions, net::Ipv6Addr, process::Stdio, sync::Arc};

use futures_util::future::join_all;
use postern::{
    clock::{Clock as _, SystemClock, whole_milliseconds},
    model::{AuditEvent, AuditOrigin, AuditSubject, Client, EventId, EventKind, PasswordHash, SessionId, User, UserId},
    store::{AuditStore as _, Insert, UserStore as _, sqlite::DataDirectory},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use uuid::Uuid;

use crate::support::{Ended, LONG, PASSWORD, Postern, eventually, sample, time, within};

/// Returns the details of the events of exports, oldest first.
async fn details(postern: &Postern) -> Vec<String> {
    let list = ["audit", "list", "--json", "--event", "admin_users_exported"];
    let events = postern.run(&list).await.expect_json();
    let events = events["events"].as_array().expect("events");
    events.iter().rev().map(|event| event["detail"].as_str().expect("a detail").to_owned()).collect()
}

/// Inserts users into the embedded store: their export is larger than the buffer of a pipe.
async fn insert_many(postern: &Postern) {
    let directory = DataDirectory::existing(&postern.path("postern-data")).expect("a store");
    let store = directory.store_beside_server(Arc::new(SystemClock)).expect("it opens");
    let inserts = (0..1500).map(async |number| {
        let email = format!("user{number}@example.org").parse().expect("an address");
        let name = "Ada Lovelace".parse().expect("a name");
        let user = User::new(email, name, PasswordHash::new("$argon2id$x".to_owned()), SystemClock.now());
        store.insert(&user, &time()).await
    });
    assert!(join_all(inserts).await.iter().all(|insert| *insert == Ok(Insert::Created)));
}

#[tokio::test]
async fn all_users_are_exported_beside_a_server_and_without_one() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        serving.signed_up("ada@example.org").await;
        let create = ["user", "create", "grace@example.org", "--name", "=1+1", "--admin"];
        postern.run_with_input(&create, PASSWORD).await.expect_done();

        let lines = postern.run(&["user", "export"]).await.expect_done();
        assert_eq!(serving.stopped().await.code, Some(0));
        let rows = postern.run(&["user", "export", "--format", "csv", "--with-hashes"]).await.expect_done();

        let users: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let [ada, grace] = &users[..] else { panic!("{lines}") };
        let mut shown = postern.run(&["user", "show", "ada@example.org", "--json"]).await.expect_json();
        let fields = shown.as_object_mut().expect("an object");
        assert!(fields.remove("last_login").is_some() && fields.remove("has_password").is_some());
        assert_eq!((ada, &ada["email_verified"]), (&shown, &json!(false)));
        assert_eq!((&grace["name"], &grace["role"]), (&json!("=1+1"), &json!("administrator")));
        assert!(!lines.contains("argon2"), "{lines}");
        let rows: Vec<_> = rows.lines().collect();
        assert_eq!(rows[0], "id,email,email_verified,name,role,standing,created,password");
        assert!(rows[2].contains(",grace@example.org,false,'=1+1,administrator,active,"), "{rows:?}");
        // The parameters of a hash are separated by commas, so its cell is quoted.
        assert!(rows.len() == 3 && rows[1..].iter().all(|row| row.contains(",\"$argon2id$v=19$m=")), "{rows:?}");
        let expected = [
            "started, without password hashes",
            "complete, users: 2, without password hashes",
            "started, with password hashes",
            "complete, users: 2, with password hashes",
        ];
        assert_eq!(details(&postern).await, expected);
    }
}

/// Stores 10,000 events about a user, as large as they can be: more than 4 MiB in an export.
async fn insert_large_events(postern: &Postern, user: UserId) {
    let directory = DataDirectory::existing(&postern.path("postern-data")).expect("a store");
    let store = directory.store_beside_server(Arc::new(SystemClock)).expect("it opens");
    let at = whole_milliseconds(SystemClock.now());
    let client = Client::new(Ipv6Addr::LOCALHOST.into(), &"\"".repeat(100));
    let event = |_| AuditEvent {
        id: EventId(UserId::new(at).0),
        at,
        kind: EventKind::Login,
        subject: AuditSubject::from((user, SessionId::random())).with_detail("d".repeat(100)),
        origin: AuditOrigin::request(&client, &"r".repeat(128)),
    };
    let events: Vec<_> = (0..10_000).map(event).collect();
    store.append(&events, &time()).await.expect("a response");
}

#[tokio::test]
async fn closed_pipe_ends_an_export_without_an_error() {
    let postern = Postern::new();
    assert_eq!(postern.serve().await.stopped().await.code, Some(0));
    insert_many(&postern).await;
    let mut child = postern.command(&["user", "export"]).spawn().expect("it starts");
    drop(child.stdout.take());

    let ended = Ended::of(&within(LONG, "the command ends", child.wait_with_output()).await.expect("it started"));

    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(details(&postern).await[1], "incomplete, at most 1000 users, without password hashes");
}

#[tokio::test]
async fn full_disk_fails_an_export() {
    let postern = Postern::new();
    postern.serve().await.signed_up("ada@example.org").await;
    let full = OpenOptions::new().write(true).open("/dev/full").expect("a device");
    let mut command = postern.command(&["user", "export"]);

    let child = command.stdout(Stdio::from(full)).spawn().expect("it starts");
    let output = within(LONG, "the command ends", child.wait_with_output()).await;

    let reason =
        "the output is incomplete, with at most 1 users: failed to write to standard output: No space left on device";
    Ended::of(&output.expect("it started")).expect_failed(1, reason);
}

#[tokio::test]
async fn interrupted_or_killed_export_is_in_the_audit_trail() {
    for (signal, is_told) in [(Signal::INT, true), (Signal::TERM, true), (Signal::KILL, false)] {
        let postern = Postern::new();
        assert_eq!(postern.serve().await.stopped().await.code, Some(0));
        insert_many(&postern).await;
        let mut child = postern.command(&["user", "export", "--with-hashes"]).spawn().expect("it starts");
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.try_into().expect("small"))).expect("it runs");
        // The pipe is full before the first page is written.
        let mut stdout = child.stdout.take().expect("a pipe");
        within(LONG, "the first bytes", stdout.read_exact(&mut [0; 10])).await.expect("output");

        kill_process(pid, signal).expect("it runs");
        let ended = within(LONG, "the command ends", child.wait_with_output()).await.expect("it started");

        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), is_told.then_some(1), "{stderr}");
        assert_eq!(
            stderr.contains("the output is incomplete, with at most 1000 users: stopped by SIG"),
            is_told,
            "{stderr}"
        );
        let details = details(&postern).await;
        assert_eq!(details[0], "started, with password hashes");
        assert_eq!(
            details.get(1).is_some_and(|end| end == "incomplete, at most 1000 users, with password hashes"),
            is_told
        );
    }
}

#[tokio::test]
async fn export_beyond_the_memory_of_requests_is_rejected() {
    let postern = Postern::new().with("POSTERN_REQUEST_MEMORY", "4MiB");
    let serving = postern.serve().await;
    let tokens = serving.signed_up("ada@example.org").await;
    let user = postern.run(&["user", "show", "ada@example.org", "--json"]).await.expect_json();
    let id: Uuid = user["id"].as_str().expect("an id").parse().expect("a UUID");
    insert_large_events(&postern, UserId(id)).await;
    let export = || serving.api().post("/profile/export/", json!({"password": PASSWORD})).bearer(&tokens.access);

    export().send().await.expect_problem(503, "overloaded");

    serving.api().profile(&tokens).send().await.expect(200);
    eventually(LONG, "the memory is given back", async || {
        sample::<u64>(&serving.metrics().await, "postern_request_memory_bytes") < 1_000_000
    })
    .await;
}
