//! `postern migrate` is killed.

use crate::crash_points::FEWEST;
use crate::support::migrate_as_before;
use crate::targets::CrashTarget as _;
use crate::targets::Servers;

#[tokio::test]
async fn killed_migration_is_completed_by_the_next_one() {
    killed_at_points(None, 5).await;
}

#[tokio::test]
async fn killed_upgrade_is_completed_by_the_next_one() {
    // The version before the first migration of several steps.
    killed_at_points(Some(5), 13).await;
}

/// Kills the migration at one of so many points. The pieces of a statement, which is prepared first, have the same effect, and
/// the distance is odd, so that some points are requests and others are responses.
async fn killed_at_points(from_version: Option<i32>, distance: usize) {
    for point in (1..).step_by(distance) {
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
