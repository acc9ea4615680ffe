//! TLS to PostgreSQL and Redis with certificates of private CAs.

use std::{fs, path::Path};

use crate::support::{
    Authority, LONG, Postern, PrivatePostgres, PrivateRedis, ReservedPort, empty_schema, eventually, redis_url,
    variable,
};

/// Prepares the program on the shared servers by TLS, with this file of CAs for both.
async fn trusting(ca: &Path) -> Postern {
    let ca = ca.display().to_string();
    Postern::on_servers_by_tls().await.with("POSTERN_DATABASE_CA_FILE", ca.clone()).with("POSTERN_REDIS_CA_FILE", ca)
}

/// Checks that both stores are down, and returns the log.
async fn log_of_unreachable_stores(postern: Postern) -> String {
    let postern = postern.with("POSTERN_STORE_TIMEOUT", "3s");
    let serving = postern.serve().await;
    let body = serving.probe("/readyz").send().await.expect(503);
    assert_eq!((body["users"].as_str(), body["sessions"].as_str()), (Some("down"), Some("down")));
    serving.stopped().await.stderr
}

#[tokio::test]
async fn ca_file_of_each_store_is_trusted_by_every_command() {
    let postern = trusting(Path::new(&variable("POSTERN_TEST_CERTIFICATE"))).await.migrated().await;

    let serving = postern.serve().await;

    serving.signed_up("ada@example.org").await;
    assert!(postern.run(&["user", "list"]).await.expect_done().contains("ada@example.org"));
}

#[tokio::test]
async fn ca_file_replaces_the_root_certificates_of_the_system() {
    let other = Authority::new().await;
    let postern = trusting(&other.certificate()).await.with("SSL_CERT_FILE", variable("POSTERN_TEST_CERTIFICATE"));

    let log = log_of_unreachable_stores(postern).await;

    for setting in ["POSTERN_DATABASE_CA_FILE", "POSTERN_REDIS_CA_FILE"] {
        let advice = format!("was not issued by a trusted CA: set {setting}");
        assert!(log.contains(&advice), "{log}");
    }
}

#[tokio::test]
async fn certificate_for_another_name_is_refused() {
    let mut postern = trusting(Path::new(&variable("POSTERN_TEST_CERTIFICATE"))).await;
    for (_, value) in &mut postern.environment {
        if value.contains("://") {
            *value = value.replace("127.0.0.1", "localhost");
        }
    }

    let log = log_of_unreachable_stores(postern).await;

    assert!(log.contains("certificate not valid for name"), "{log}");
    assert!(log.contains("connect to a name in the server's certificate"), "{log}");
}

#[tokio::test]
async fn corrected_ca_file_is_read_for_the_next_connection() {
    let (other, ca) = (Authority::new().await, tempfile::tempdir().expect("a temporary directory"));
    let file = ca.path().join("ca.pem");
    let copy = |from: &Path| {
        fs::copy(from, &file).expect("a copy");
    };
    copy(Path::new(&variable("POSTERN_TEST_CERTIFICATE")));
    let postern = trusting(&file).await.migrated().await;
    copy(&other.certificate());
    let serving = postern.serve().await;
    serving.probe("/readyz").send().await.expect(503);

    copy(Path::new(&variable("POSTERN_TEST_CERTIFICATE")));

    let is_ready = async || serving.probe("/readyz").send().await.status == 200;
    eventually(LONG, "both stores are reached", is_ready).await;
}

#[tokio::test]
async fn postgres_may_require_a_client_certificate() {
    let (postgres, authority) = (PrivatePostgres::start().await, Authority::new().await);
    let (server, server_key) = authority.issue("server").await;
    let (client, client_key) = authority.issue("service").await;
    postgres.switch_tls_on(&server, &server_key, Some(&authority.certificate())).await;
    let url = format!("{}?sslmode=verify-full", postgres.url("first"));
    let ca = authority.certificate().display().to_string();
    let on = || Postern::on(&url, redis_url()).with("POSTERN_DATABASE_CA_FILE", ca.clone());

    let without = on().run(&["migrate"]).await;
    without.expect_failed(1, "connection requires a valid client certificate");

    let with = on()
        .with("POSTERN_DATABASE_CERT_FILE", client.display().to_string())
        .with("POSTERN_DATABASE_KEY_FILE", client_key.display().to_string());
    let serving = with.with_keys().await.migrated().await.serve().await;
    serving.signed_up("ada@example.org").await;
}

#[tokio::test]
async fn redis_may_require_a_client_certificate() {
    let (mut redis, authority, port) = (PrivateRedis::start().await, Authority::new().await, ReservedPort::new());
    let (server, key) = authority.issue("server").await;
    let text = |path: &Path| path.display().to_string();
    let (ca, server, key) = (text(&authority.certificate()), text(&server), text(&key));
    let tls_port = port.port().to_string();
    let options =
        ["--tls-port", &tls_port, "--tls-cert-file", &server, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    redis.restart(&options).await;
    let url = format!("valkeys://{}/0", port.address);
    let postern = Postern::on(empty_schema().await, url).with("POSTERN_REDIS_CA_FILE", ca).with_keys().await;
    let postern = postern.migrated().await;

    let mut serving = postern.serve().await;
    serving.logged("the server requires a client certificate: set POSTERN_REDIS_CERT_FILE").await;
    serving.probe("/readyz").send().await.expect(503);
    drop(serving);

    let (client, client_key) = authority.issue("client").await;
    let postern =
        postern.with("POSTERN_REDIS_CERT_FILE", text(&client)).with("POSTERN_REDIS_KEY_FILE", text(&client_key));
    postern.serve().await.signed_up("ada@example.org").await;
}

#[tokio::test]
async fn ca_certificate_of_a_server_is_refused_with_advice() {
    let (postgres, authority) = (PrivatePostgres::start().await, Authority::new().await);
    let (certificate, key) = (authority.certificate(), authority.key());
    postgres.switch_tls_on(&certificate, &key, None).await;
    let url = format!("{}?sslmode=verify-ca", postgres.url("first"));
    let postern = Postern::on(url, redis_url()).with("POSTERN_DATABASE_CA_FILE", certificate.display().to_string());

    let refused = postern.run(&["migrate"]).await;

    refused.expect_failed(1, "issue it a certificate with basicConstraints CA:FALSE");
}

#[tokio::test]
async fn files_for_tls_are_refused_if_they_have_no_effect() {
    let plain = || Postern::on("postgres://a@127.0.0.1:1/x", "redis://127.0.0.1:1");
    for (postern, error) in [
        (
            plain().with("POSTERN_DATABASE_CA_FILE", "ca.pem"),
            "POSTERN_DATABASE_CA_FILE: set although DATABASE_URL does not switch TLS on: expected ?sslmode=verify-full",
        ),
        (
            plain().with("POSTERN_REDIS_CERT_FILE", "cert.pem").with("POSTERN_REDIS_KEY_FILE", "key.pem"),
            "POSTERN_REDIS_CERT_FILE: set although REDIS_URL does not switch TLS on: expected a URL that starts with rediss://",
        ),
        (
            Postern::new().with("POSTERN_REDIS_CA_FILE", "ca.pem"),
            "POSTERN_REDIS_CA_FILE: set although REDIS_URL is not",
        ),
        (plain().with("POSTERN_REDIS_KEY_FILE", "key.pem"), "POSTERN_REDIS_CERT_FILE: not set although"),
    ] {
        for command in ["config", "serve"] {
            let ended = postern.run(&[command]).await;
            assert_eq!(ended.code, Some(64), "{ended:?}");
            assert!(ended.stderr.contains(error), "{ended:?}");
        }
    }
}

#[tokio::test]
async fn unusable_files_for_tls_are_named_before_anything_connects() {
    let authority = Authority::new().await;
    let (certificate, key) = authority.issue("client").await;
    let (_, other_key) = authority.issue("other").await;
    let text = |path: &Path| path.display().to_string();
    let exposed = authority.certificate().with_file_name("exposed.pem");
    fs::write(&exposed, fs::read(&key).expect("ours")).expect("ours");
    fs::set_permissions(&exposed, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("ours");
    let on = || Postern::on("postgres://a@127.0.0.1:1/x?sslmode=require", "redis://127.0.0.1:1");
    let with_ca = |file: &str| on().with("POSTERN_DATABASE_CA_FILE", file);
    let with_client = |certificate: &Path, key: &Path| {
        let postern = on().with("POSTERN_DATABASE_CA_FILE", text(&authority.certificate()));
        let postern = postern.with("POSTERN_DATABASE_CERT_FILE", text(certificate));
        postern.with("POSTERN_DATABASE_KEY_FILE", text(key))
    };

    for (postern, setting, reason) in [
        (with_ca("nothing.pem"), "POSTERN_DATABASE_CA_FILE: ", "No such file"),
        (with_ca(&text(&key)), "POSTERN_DATABASE_CA_FILE: ", "no certificate"),
        (with_client(&certificate, &other_key), "POSTERN_DATABASE_CERT_FILE: ", ""),
        (with_client(&key, &key), "POSTERN_DATABASE_CERT_FILE: ", "no certificate"),
        (with_client(&certificate, &certificate), "POSTERN_DATABASE_KEY_FILE: ", ""),
        (with_client(&certificate, &exposed), "POSTERN_DATABASE_KEY_FILE: ", "mode 0644"),
    ] {
        let (config, serve) = (postern.run(&["config"]).await, postern.run(&["serve"]).await);
        assert_eq!((config.code, serve.code), (Some(64), Some(64)), "{config:?} {serve:?}");
        assert_eq!(config.stderr, serve.stderr);
        assert!(serve.stderr.contains(setting) && serve.stderr.contains(reason), "{serve:?}");
    }
}
