//! PgBouncer in front of PostgreSQL: refused in transaction mode, used in session mode.

use futures_util::future::join_all;

use crate::support::{LONG, PgBouncer, Postern, PrivatePostgres, eventually, redis_url, sql};

/// What to do, as each error says.
const ADVICE: &str = "set pool_mode = session";

/// Starts a migrated PostgreSQL behind PgBouncer, if that is installed.
async fn behind_pgbouncer(pool_mode: &str) -> Option<(PrivatePostgres, PgBouncer)> {
    let postgres = PrivatePostgres::start().await;
    let url = postgres.url("first");
    postern_on(&url).await.migrated().await;
    let pgbouncer = PgBouncer::start(&url, pool_mode).await?;
    Some((postgres, pgbouncer))
}

async fn postern_on(database: &str) -> Postern {
    Postern::on(database, redis_url()).with_keys().await
}

#[tokio::test]
async fn transaction_mode_is_refused_at_the_start() {
    for mode in ["transaction", "statement"] {
        let Some((_postgres, pgbouncer)) = behind_pgbouncer(mode).await else { return };
        let postern = postern_on(&pgbouncer.url()).await;

        for arguments in [&["serve"][..], &["serve", "--migrate"], &["migrate"], &["user", "list"]] {
            let ended = postern.run(arguments).await;
            assert!(ended.stderr.contains("PgBouncer"), "{mode} {arguments:?}: {ended:?}");
            ended.expect_failed(1, ADVICE);
        }
    }
}

#[tokio::test]
async fn pooler_that_starts_after_the_server_leaves_it_unready() {
    let Some((_postgres, mut pgbouncer)) = behind_pgbouncer("session").await else { return };
    pgbouncer.stop();
    let mut serving = postern_on(&pgbouncer.url()).await.serve().await;
    serving.logged("starting anyway").await;

    pgbouncer.restart("transaction").await;

    let line = serving.logged("PostgreSQL is not usable").await;
    assert!(line.contains(ADVICE), "{line}");
    serving.probe("/readyz").send().await.expect(503);
}

#[tokio::test]
async fn errors_of_a_pooler_that_changed_its_mode_name_it() {
    let Some((_postgres, mut pgbouncer)) = behind_pgbouncer("session").await else { return };
    let mut serving = postern_on(&pgbouncer.url()).await.serve().await;
    serving.ready().await;

    pgbouncer.restart("transaction").await;
    let api = serving.api();
    let has_failed = async || {
        let logins = (0..20).map(|number| api.log_in(&format!("user{number}@example.org"), "wrong_password").send());
        join_all(logins).await.iter().any(|response| response.status == 500)
    };
    eventually(LONG, "a request fails", has_failed).await;

    serving.logged(ADVICE).await;
}

#[tokio::test]
async fn session_mode_is_used_like_postgres() {
    let Some((postgres, pgbouncer)) = behind_pgbouncer("session").await else { return };
    let postern = postern_on(&pgbouncer.url()).await;
    for _ in 0..2 {
        postern.run(&["migrate"]).await.expect_done();
        let serving = postern.serve().await;
        serving.ready().await;

        let api = serving.api();
        let sign_ups = (0..20).map(|number| api.sign_up(&format!("user{number}@example.org")).send());
        let statuses: Vec<_> = join_all(sign_ups).await.iter().map(|response| response.status).collect();

        assert!(statuses.iter().all(|status| *status == 201 || *status == 429), "{statuses:?}");
        assert!(statuses.contains(&201), "{statuses:?}");
        assert_eq!(serving.stopped().await.code, Some(0));
        sql(&postgres.administration_of_service(), "DELETE FROM users").await;
    }
}

#[tokio::test]
async fn parameter_that_a_pooler_rejects_stops_the_start() {
    let Some((_postgres, pgbouncer)) = behind_pgbouncer("session").await else { return };
    let url = format!("{}?options=-csearch_path%3Dpublic", pgbouncer.url());

    let ended = postern_on(&url).await.run(&["serve"]).await;

    ended.expect_failed(1, "rejects this parameter of DATABASE_URL");
}
