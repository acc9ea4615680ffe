//! Backups of the embedded store.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::support::{PASSWORD, Postern};

#[tokio::test]
async fn backup_of_a_running_server_can_be_restored() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let ada = serving.signed_up("ada@example.org").await;

    let backup = postern.run(&["backup", "backup.db"]).await;
    assert_eq!((backup.code, backup.stderr.as_str()), (Some(0), ""), "{backup:?}");
    assert!(backup.stdout.contains("the keys are in ./postern-data/keys"), "{backup:?}");
    serving.signed_up("grace@example.org").await;
    // The write-ahead log remains, with Grace in it.
    serving.killed().await;
    assert!(fs::metadata(postern.path("postern-data/postern.db-wal")).expect("a log").len() > 0);
    fs::copy(postern.path("backup.db"), postern.path("postern-data/postern.db")).expect("copied back");

    for _ in 0..2 {
        let serving = postern.serve().await;
        serving.api().profile(&ada).send().await.expect(200);
        let login = serving.api().log_in("grace@example.org", PASSWORD).send().await;
        login.expect_problem(401, "invalid_credentials");
        serving.signed_up(&format!("joan{}@example.org", serving.public.port())).await;
        serving.killed().await;
    }
    let users = postern.run(&["user", "list"]).await.stdout;
    assert_eq!(users.matches("joan").count(), 2, "{users}");
}

#[tokio::test]
async fn backup_replaces_no_file_and_is_private() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    serving.signed_up("ada@example.org").await;
    serving.stopped().await;
    postern.run(&["backup", "backup.db"]).await;
    let mode = fs::metadata(postern.path("backup.db")).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    for taken in ["backup.db", "postern-data/postern.db"] {
        let before = fs::read(postern.path(taken)).expect("a file");
        let refused = postern.run(&["backup", taken]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("already exists"), "{refused:?}");
        assert_eq!(fs::read(postern.path(taken)).expect("a file"), before);
    }
}

#[tokio::test]
async fn backup_needs_an_embedded_store_that_exists() {
    let nothing = Postern::new().run(&["backup", "backup.db"]).await;
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    assert!(nothing.stderr.contains("no store in ./postern-data"), "{nothing:?}");

    let on_servers = Postern::new().with("DATABASE_URL", "postgres://postern@127.0.0.1:1/postern");
    let refused = on_servers.run(&["backup", "backup.db"]).await;
    assert_eq!(refused.code, Some(64), "{refused:?}");
    assert!(refused.stderr.contains("pg_dump"), "{refused:?}");
}

#[tokio::test]
async fn copy_over_the_store_of_a_running_server_is_noticed() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    serving.signed_up("ada@example.org").await;
    postern.run(&["backup", "backup.db"]).await;

    fs::copy(postern.path("backup.db"), postern.path("postern-data/postern.db")).expect("copied back");

    let refused = postern.run(&["user", "list"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("stop the server, copy again"), "{refused:?}");
}
