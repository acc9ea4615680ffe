//! `postern migrate` that is killed.

use crate::{
    places::{Place as _, Servers},
    walk::FEWEST,
};

#[tokio::test]
async fn a_migration_that_is_killed_at_any_moment_is_made_up_for_by_the_next_one() {
    // A question that is not asked leaves what the answer to the one before left: so every other moment is enough.
    for moment in (1..).step_by(2) {
        let servers = Servers::empty().await;
        servers.toll.hold_at(moment);
        let mut migrating = servers.postern().command(&["migrate"]).spawn().expect("it starts");

        let is_killed = tokio::select! {
            biased;
            () = servers.toll.reached() => true,
            _ = migrating.wait() => false,
        };
        migrating.kill().await.expect("it ends");
        servers.rest();

        let again = servers.postern().run(&["migrate"]).await;
        assert_eq!(again.code, Some(0), "killed at moment {moment}: {again:?}");
        if !is_killed {
            assert!(moment > FEWEST, "nothing was ever killed");
            return;
        }
    }
}
