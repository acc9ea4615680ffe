//! `postern import django` with the role of PostgreSQL that docs/cli.md describes, and with fewer privileges.

use crate::support::{DjangoUser, Ended, Postern, PrivatePostgres, sql, write_csv};

const PAGE: &str = include_str!("../../docs/cli.md");

/// Returns the statements of the page, each of one line, for the database of the test.
fn documented_grants() -> Vec<String> {
    let block = PAGE.split("```sql\n").find(|block| block.contains("TO postern_import;")).expect("a block");
    let lines = block.split("```").next().expect("its text").lines();
    lines.map(|line| line.replace("ON DATABASE postern", "ON DATABASE service")).collect()
}

#[tokio::test]
async fn documented_role_may_import_and_needs_each_privilege() {
    let postgres = PrivatePostgres::start().await;
    let redis = "redis://127.0.0.1:1".to_owned();
    Postern::on(postgres.url("first"), redis.clone()).migrated().await;
    let administration = postgres.administration_of_service();
    let role = "CREATE ROLE postern_import LOGIN PASSWORD 'first'; REVOKE ALL ON DATABASE service FROM PUBLIC;
        REVOKE ALL ON SCHEMA public FROM PUBLIC";
    sql(&administration, role).await;
    let postern = Postern::on(postgres.url("first").replace("//service:", "//postern_import:"), redis);
    let grants = documented_grants();
    assert!(grants.len() > 4 && grants.iter().all(|grant| grant.starts_with("GRANT ")), "{grants:?}");
    for grant in &grants {
        sql(&administration, grant).await;
    }
    let import = async |users: u64| -> Ended {
        write_csv(&postern.path("users.csv"), &DjangoUser::many(users));
        postern.run(&["import", "django", "--from", "users.csv"]).await
    };

    import(3).await.expect_done();

    for (grant, users) in grants.iter().zip(4..) {
        sql(&administration, &grant.replace("GRANT ", "REVOKE ").replace(" TO ", " FROM ")).await;
        assert_eq!(import(users).await.code, Some(1), "{grant}");
        sql(&administration, grant).await;
        import(users).await.expect_done();
    }
}
