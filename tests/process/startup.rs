//! Settings, arguments, and the start.

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::support::{LONG, Postern, PostgresRedis, Proxy, RequestBuilder, redis_url, variable, within};

#[tokio::test]
async fn server_without_settings_starts_and_prints_one_line() {
    let postern = Postern::new();

    let serving = postern.serve().await;

    let data = postern.path("postern-data");
    let (public, operations) = (serving.public, serving.operations);
    assert_eq!(
        serving.line,
        format!(
            "Postern listens on http://{public} (operations on {operations}), embedded store in {}\n",
            data.display()
        )
    );
    RequestBuilder::new(public, "GET", "/healthz").send().await.expect(200);
    RequestBuilder::operations(operations, "/readyz").send().await.expect(200);
    assert_eq!(serving.stopped().await.stdout, "");
}

#[tokio::test]
async fn second_server_on_the_same_directory_is_refused() {
    let postern = Postern::new();
    let _first = postern.serve().await;

    let second = postern.run(&["serve"]).await;

    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("another server is running on ./postern-data"), "{}", second.stderr);
}

#[tokio::test]
async fn all_invalid_settings_are_reported_and_nothing_starts() {
    let postern = Postern::new().with("POSTERN_ACCESS_TTL", "soon").with("POSTERN_HASH_LANES", "0");

    for arguments in [&[][..], &["serve"], &["config"]] {
        let ended = postern.run(arguments).await;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(
            ended.stderr.contains("POSTERN_ACCESS_TTL") && ended.stderr.contains("POSTERN_HASH_LANES"),
            "{ended:?}"
        );
    }
    assert!(!postern.path("postern-data").exists());
}

#[tokio::test]
async fn invalid_arguments_are_refused_and_help_is_printed() {
    let postern = Postern::new();

    assert_eq!(postern.run(&["--nonsense"]).await.code, Some(64));
    assert_eq!(postern.run(&["keys"]).await.code, Some(64));
    let help = postern.run(&["--help"]).await;
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("--listen") && help.stdout.contains("POSTERN_LISTEN"), "{}", help.stdout);
    assert_eq!(postern.run(&["--version"]).await.stdout, format!("postern {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn config_shows_every_setting_with_its_source_and_no_secret() {
    let postern = Postern::on_servers().await.with("REDIS_URL", "redis://:hunter2@localhost/0");

    let ended = postern.run(&["config", "--issuer", "me"]).await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    for setting in postern::config::SETTINGS {
        assert!(ended.stdout.contains(setting.name), "{}", setting.name);
    }
    let issuer = ended.stdout.lines().find(|line| line.starts_with("POSTERN_ISSUER")).expect("a line");
    assert_eq!(issuer.split_whitespace().collect::<Vec<_>>(), ["POSTERN_ISSUER", "flag", "me"]);
    assert!(!ended.stdout.contains("hunter2"));
}

#[tokio::test]
async fn old_schema_stops_the_start_and_names_the_command() {
    let postern = Postern::on_servers().await.with_keys().await;

    let refused = postern.run(&["serve"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("run `postern migrate`"), "{}", refused.stderr);

    postern.run(&["migrate"]).await.expect_done();
    let serving = postern.serve().await;
    assert!(serving.line.contains("users in postgres://") && serving.line.contains("sessions in redis://"));
    assert!(!serving.line.contains('@'), "{}", serving.line);
    serving.signed_up("ada@example.org").await;
}

#[tokio::test]
async fn server_is_ready_once_late_stores_answer() {
    let (database, redis) = (PostgresRedis::migrated().await.database, redis_url());
    let (postgres_proxy, redis_proxy) = (Proxy::start(&database).await, Proxy::start(&redis).await);
    // One store refuses connections, and the other one is silent.
    redis_proxy.cut().await;
    postgres_proxy.freeze();
    let postern = Postern::on(postgres_proxy.instead_of(&database), redis_proxy.instead_of(&redis)).with_keys().await;
    let postern = postern.with("POSTERN_STORE_TIMEOUT", "2s");

    let serving = postern.serve().await;
    let ready = || serving.probe("/readyz").send();
    assert_eq!(ready().await.expect(503)["status"], "starting");

    postgres_proxy.restore().await;
    redis_proxy.restore().await;
    ready().await.expect(200);
    serving.signed_up("ada@example.org").await;
}

#[tokio::test]
async fn server_names_the_store_that_is_missing_at_the_start() {
    let (database, redis) = (PostgresRedis::migrated().await.database, redis_url());
    let keys = Postern::on(&database, &redis).with_keys().await;
    for (lost, url, users, sessions) in [("DATABASE_URL", &database, "down", "up"), ("REDIS_URL", &redis, "up", "down")]
    {
        let proxy = Proxy::start(url).await;
        proxy.cut().await;
        let postern = Postern::on(&database, &redis)
            .with("POSTERN_KEYS_DIR", keys.path("keys").display().to_string())
            .with(lost, proxy.instead_of(url));

        let serving = postern.serve().await;
        for _ in 0..5 {
            let body = serving.probe("/readyz").send().await.expect(503);
            assert_eq!(body, json!({"status": "starting", "users": users, "sessions": sessions}), "{lost}");
        }

        proxy.restore().await;
        serving.probe("/readyz").send().await.expect(200);
    }
}

#[tokio::test]
async fn store_that_goes_down_later_leaves_the_server_ready() {
    let (database, redis) = (PostgresRedis::migrated().await.database, redis_url());
    let proxy = Proxy::start(&redis).await;
    let postern = Postern::on(database, proxy.instead_of(&redis)).with_keys().await;
    let mut serving = postern.serve().await;
    serving.logged("all stores responded").await;

    proxy.cut().await;

    let body = serving.probe("/readyz").send().await.expect(200);
    assert_eq!(body["sessions"], "down");
}

#[tokio::test]
async fn server_migrates_before_it_serves_if_asked() {
    let postern = Postern::on_servers().await.with_keys().await;
    let mut child = postern.command(&["--migrate"]).spawn().expect("it starts");

    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    within(LONG, "it prints a line", stdout.read_line(&mut line)).await.expect("a line");

    assert!(line.starts_with("Postern listens on"), "{line}");
}

#[tokio::test]
async fn embedded_store_has_no_migrate_command() {
    let ended = Postern::new().run(&["migrate"]).await;

    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.contains("DATABASE_URL"), "{}", ended.stderr);
}

#[tokio::test]
async fn settings_that_make_access_tokens_too_long_are_refused() {
    let ended = Postern::new().with("POSTERN_ISSUER", "x".repeat(1000)).run(&["serve"]).await;

    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.contains("POSTERN_ISSUER") && ended.stderr.contains("1024"), "{}", ended.stderr);
}

#[tokio::test]
async fn both_stores_are_reached_by_tls_if_trusted() {
    let postern = Postern::on_servers_by_tls().await.with("SSL_CERT_FILE", variable("POSTERN_TEST_CERTIFICATE"));
    postern.run(&["migrate"]).await.expect_done();

    let serving = postern.serve().await;

    assert!(serving.line.contains("sessions in rediss://"), "{}", serving.line);
    serving.signed_up("ada@example.org").await;
}

#[tokio::test]
async fn neither_store_is_reached_by_tls_unless_trusted() {
    let postern = Postern::on_servers_by_tls().await;

    let serving = postern.serve().await;

    let body = serving.probe("/readyz").send().await.expect(503);
    assert_eq!((body["users"].as_str(), body["sessions"].as_str()), (Some("down"), Some("down")));
    let log = serving.stopped().await.stderr;
    assert!(log.contains("invalid peer certificate"), "{log}");
}

#[tokio::test]
async fn pool_usage_is_in_the_metrics() {
    let postern = Postern::on_migrated_servers().await;
    let serving = postern.serve().await;
    serving.signed_up("ada@example.org").await;

    let metrics = serving.metrics().await;

    for sample in [
        r#"postern_store_pool_connections{state="in_use",store="Redis"} 1"#,
        r#"postern_store_pool_max_connections{store="Redis"} 1"#,
        r#"postern_store_pool_connections{state="in_use",store="PostgreSQL"} 0"#,
        r#"postern_store_pool_max_connections{store="PostgreSQL"} 16"#,
        r#"postern_store_pool_waiting{store="PostgreSQL"} 0"#,
    ] {
        assert!(metrics.contains(sample), "{sample}: {metrics}");
    }
    assert!(!metrics.contains(r#"{state="idle",store="PostgreSQL"} 0"#), "{metrics}");
}

#[tokio::test]
async fn max_age_of_published_keys_is_a_setting() {
    let serving = Postern::new().with("POSTERN_KEYS_MAX_AGE", "15s").serve().await;

    let keys = serving.api().get("/.well-known/paserk.json").send().await;

    assert_eq!((keys.status, keys.text("cache-control")), (200, "public, max-age=15"));
}

#[tokio::test]
async fn file_limit_is_raised_and_a_low_one_is_warned_about() {
    let postern = Postern::new().with("POSTERN_MAX_CONNECTIONS", "200");
    let under = async |limits: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{limits}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_postern"), "serve"]);
        let serving = postern.serve_by(shell).await;
        serving.api().get("/healthz").send().await.expect(200);
        let pid = serving.id();
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
        let limit = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line").to_owned();
        (limit.split_whitespace().nth(3).expect("a number").to_owned(), serving.stopped().await.stderr)
    };

    let (limit, log) = under("ulimit -Sn 100; ulimit -Hn 600").await;
    assert_eq!(limit, "600");
    assert!(!log.contains("POSTERN_MAX_CONNECTIONS"), "{log}");
    let (limit, log) = under("ulimit -n 400").await;
    assert_eq!(limit, "400");
    assert!(log.contains("the limit of open files is too low for POSTERN_MAX_CONNECTIONS"), "{log}");
}
