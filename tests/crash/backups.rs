//! Backups during sign-ups.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use rusqlite::{Connection, OpenFlags};

use crate::support::{LONG, Tokens, eventually};
use crate::targets::data_of;
use crate::targets::postern_with_data;

/// The number of parallel clients.
const CLIENTS: usize = 3;

#[tokio::test]
async fn backup_under_load_restores_what_was_acknowledged_before() {
    let postern = postern_with_data().with("POSTERN_THROTTLE", "off");
    let serving = postern.serve().await;
    let (api, acknowledged) = (serving.api(), Arc::new(Mutex::new(Vec::new())));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let acknowledged = Arc::clone(&acknowledged);
            tokio::spawn(async move {
                for number in 0.. {
                    let tokens = api.signed_up(&format!("ada{client}.{number}@example.org")).await;
                    acknowledged.lock().expect("no panic").push(tokens);
                }
            })
        })
        .collect();

    let mut backups = Vec::new();
    for number in 1..=6 {
        let enough = 10 * number;
        let is_enough = async || acknowledged.lock().expect("no panic").len() >= enough;
        eventually(LONG, "ten more sign-ups are acknowledged", is_enough).await;
        let before = acknowledged.lock().expect("no panic").clone();
        let name = format!("backup{number}.db");
        let backup = postern.run(&["backup", &name]).await;
        assert_eq!((backup.code, backup.stderr.as_str()), (Some(0), ""), "{backup:?}");
        assert!(backup.stdout.contains(&name), "{backup:?}");
        backups.push((postern.directory.path().join(name), before));
    }
    for client in clients {
        client.abort();
        assert!(client.await.is_err_and(|error| error.is_cancelled()), "every sign-up was taken");
    }
    serving.killed().await;

    for (backup, before) in backups {
        let store = Connection::open_with_flags(&backup, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a store");
        let verdict: String = store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a verdict");
        assert_eq!(verdict, "ok");
        expect_restores(&backup, &data_of(&postern).join("keys"), &before).await;
    }
}

/// A server on a backup and the keys knows these users.
async fn expect_restores(backup: &Path, keys: &Path, people: &[Tokens]) {
    let restored = postern_with_data().with("POSTERN_KEYS_DIR", keys.to_str().expect("a text"));
    fs::create_dir(data_of(&restored)).expect("a directory");
    fs::copy(backup, data_of(&restored).join("postern.db")).expect("copied back");
    let serving = restored.serve().await;
    assert!(serving.line.contains("embedded store"), "{}", serving.line);
    for tokens in people {
        serving.api().expect_rotates(tokens).await;
    }
    serving.stopped().await;
}
