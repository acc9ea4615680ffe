//! `postern migrate` is killed.

use crate::crash_points::FEWEST;
use crate::support::migrate_as_before;
use crate::targets::CrashTarget as _;
use crate::targets::Servers;

#[tokio::test]
async fn killed_migration_is_completed_by_the_next_one() {
    killed_at_every_point(None).await;
}

#[tokio::test]
async fn killed_upgrade_is_completed_by_the_next_one() {
    // The version before the first migration of several steps.
    killed_at_every_point(Some(5)).await;
}

async fn killed_at_every_point(from_version: Option<i32>) {
    // A statement that is not sent has the effect of the one before it, so every other point is enough.
    for point in (1..).step_by(2) {
        let servers = Servers::empty().await;
        if let Some(version) = from_version {
            migrate_as_before(&servers.database, version).await;
        }
        servers.gate.hold_at(point);
        let mut migrating = servers.postern().command(&["migrate"]).spawn().expect("it starts");

        let is_killed = tokio::select! {
            biased;
            () = servers.gate.reached() => true,
            _ = migrating.wait() => false,
        };
        migrating.kill().await.expect("it ends");
        servers.disarm();

        let again = servers.postern().run(&["migrate"]).await;
        assert_eq!(again.code, Some(0), "killed at point {point}: {again:?}");
        if !is_killed {
            assert!(point > FEWEST, "nothing was ever killed");
            return;
        }
    }
}
