//! The export of all users, from every store.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use futures_util::future::join_all;
use postern::{
    cli::{ExportError, ExportFormat, OutputReader, UserExport},
    clock::Clock as _,
    model::{User, UserId},
    store::Insert,
};

use super::suite::Fixture;
use crate::Sql as _;
use crate::support::time;

const EXPORT: UserExport = UserExport { format: ExportFormat::Jsonl, with_hashes: false };

/// More than two pages of an export.
const USERS: usize = 2500;

impl Fixture {
    /// Inserts users, and returns them in the order of their ids.
    async fn many(&self) -> Vec<User> {
        let mut users: Vec<_> = (0..USERS).map(|number| self.user(&format!("user{number}@example.org"))).collect();
        for some in users.chunks(250) {
            let inserts = join_all(some.iter().map(async |user| self.stores.users.insert(user, &time()).await)).await;
            assert!(inserts.iter().all(|insert| *insert == Ok(Insert::Created)));
        }
        users.sort_by_key(|user| user.id.0);
        users
    }
}

fn ids(output: &[u8]) -> Vec<String> {
    let lines = std::str::from_utf8(output).expect("UTF-8").lines();
    let values = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    values.map(|user| user["id"].as_str().expect("an id").to_owned()).collect()
}

fn ids_of(users: &[User]) -> Vec<String> {
    users.iter().map(|user| user.id.to_string()).collect()
}

#[tokio::test]
async fn each_user_is_exported_once_in_the_order_of_ids() {
    let fixture = Fixture::empty().await;
    let users = fixture.many().await;
    let (mut output, written) = (Vec::new(), AtomicU64::new(0));
    let write = async |text: Vec<u8>| {
        output.extend(text);
        Ok(OutputReader::Open)
    };

    let outcome = EXPORT.run(&*fixture.stores.users, &written, write).await;

    assert!(matches!(outcome, Ok(OutputReader::Open)), "{outcome:?}");
    assert_eq!(ids(&output), ids_of(&users));
    assert_eq!(written.into_inner(), 2500);
}

#[tokio::test]
async fn users_who_stay_are_exported_once_while_others_come_and_go() {
    let fixture = Fixture::empty().await;
    let users = fixture.many().await;
    let (mut output, mut pages) = (Vec::new(), 0);
    let write = async |text: Vec<u8>| {
        output.extend(text);
        // Users of the page that is written, and users of pages that are read later.
        for user in [&users[pages], &users[2000 + pages]] {
            fixture.deleted(user.id).await;
        }
        fixture.inserted(&format!("new{pages}@example.org")).await;
        pages += 1;
        Ok(OutputReader::Open)
    };

    EXPORT.run(&*fixture.stores.users, &AtomicU64::new(0), write).await.expect("the export is complete");

    let exported = ids(&output);
    assert!(exported.is_sorted() && exported.windows(2).all(|two| two[0] != two[1]));
    let stay = ids_of(&[&users[3..2000], &users[2003..]].concat());
    assert!(stay.iter().all(|id| exported.binary_search(id).is_ok()));
}

#[tokio::test]
async fn export_ends_when_its_reader_is_gone() {
    let fixture = Fixture::empty().await;
    fixture.many().await;
    let (written, mut calls) = (AtomicU64::new(0), 0);
    let write = async |_: Vec<u8>| {
        calls += 1;
        Ok(if calls == 1 { OutputReader::Open } else { OutputReader::Gone })
    };

    let outcome = EXPORT.run(&*fixture.stores.users, &written, write).await;

    assert!(matches!(outcome, Ok(OutputReader::Gone)), "{outcome:?}");
    assert_eq!((written.load(Ordering::Relaxed), calls), (2000, 2));
}

#[tokio::test]
async fn full_disk_and_failing_store_are_errors_of_an_export() {
    let fixture = Fixture::empty().await;
    fixture.many().await;
    let full = async |_: Vec<u8>| Err(io::ErrorKind::StorageFull.into());
    let outcome = EXPORT.run(&*fixture.stores.users, &AtomicU64::new(0), full).await;
    assert!(matches!(outcome, Err(ExportError::Output(_))), "{outcome:?}");

    let (written, mut is_first) = (AtomicU64::new(0), true);
    let write = async |_: Vec<u8>| {
        if std::mem::take(&mut is_first) {
            fixture.backend.sql("ALTER TABLE users RENAME TO lost").await.expect("it is renamed");
        }
        Ok(OutputReader::Open)
    };
    let outcome = EXPORT.run(&*fixture.stores.users, &written, write).await;

    assert!(matches!(outcome, Err(ExportError::Store(_))), "{outcome:?}");
    // The second page may have been read before the table was lost.
    assert!(written.load(Ordering::Relaxed) < 2500);
}

#[tokio::test]
async fn users_after_an_id_are_listed_up_to_the_limit() {
    let fixture = Fixture::empty().await;
    let mut users = Vec::new();
    for number in 0..5 {
        users.push(fixture.inserted(&format!("user{number}@example.org")).await);
    }
    users.sort_by_key(|user| user.id.0);
    let listed = async |after: Option<UserId>, limit| {
        fixture.stores.users.list_by_id(after, limit, &time()).await.expect("a response")
    };

    assert_eq!(listed(None, 2).await, users[..2]);
    assert_eq!(listed(Some(users[1].id), 10).await, users[2..]);
    assert_eq!(listed(Some(users[4].id), 10).await, []);
    let later = UserId::new(fixture.clock.now() + std::time::Duration::from_hours(1));
    assert_eq!(listed(Some(later), 10).await, []);
}
