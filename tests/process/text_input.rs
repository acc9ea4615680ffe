//! Settings, files and standard input as editors and other tools write them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::support::{PASSWORD, Postern, Serving, empty_schema, redis_url, string_field, write_private};

const KEY: &str = "an-api-key-that-has-32-characters";

/// The claims of a new access token.
async fn claims(serving: &Serving) -> Value {
    let tokens = serving.signed_up("ada@example.org").await;
    let payload = tokens.access.split('.').nth(2).expect("a payload");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload[..payload.len() - 64]).expect("JSON")
}

#[tokio::test]
async fn settings_lose_the_white_space_at_their_ends() {
    let stores = Postern::on(format!("{}\n", empty_schema().await), format!(" {}\r\n", redis_url()));
    for postern in [Postern::new(), stores.with("POSTERN_KEYS_DIR", "keys \n").with_keys().await.migrated().await] {
        let postern = postern
            .with("POSTERN_ISSUER", "https://id.example.org\n")
            .with("POSTERN_AUDIENCE", "\u{feff}\t api \u{a0}\r\n")
            .with("POSTERN_ACCESS_TTL", " 2m\n")
            .with("POSTERN_HASH_MEMORY", "8KiB\r\n")
            .with("POSTERN_REFRESH_ROTATION", "on\n")
            .with("POSTERN_MAX_SESSIONS", "3\n")
            .with("POSTERN_TRUSTED_PROXIES", "10.0.0.0/8 ,\n  192.0.2.1\n")
            .with("POSTERN_CORS_ORIGINS", "https://a.example.org ,\r\n capacitor://localhost\n")
            .with("POSTERN_LOG_FORMAT", " \n");
        let serving = postern.serve().await;

        let claims = claims(&serving).await;
        assert_eq!([string_field(&claims, "iss"), string_field(&claims, "aud")], ["https://id.example.org", "api"]);
        let response = serving.api().get("/healthz").header("origin", "capacitor://localhost").send().await;
        assert_eq!(response.text("access-control-allow-origin"), "capacitor://localhost");
    }
}

#[tokio::test]
async fn control_characters_in_a_setting_are_refused_and_escaped() {
    for (name, value, repeated) in [
        ("POSTERN_ISSUER", "https://id.example.org\r\n/x", r"https://id.example.org\u{d}\u{a}/x"),
        ("POSTERN_AUDIENCE", "a\u{1b}[31mpi", r"a\u{1b}[31mpi"),
        ("POSTERN_AUDIENCE", "a\u{202e}b\u{200b}c", r"a\u{202e}b\u{200b}c"),
        ("POSTERN_LISTEN", "127.0.0.1:0\n127.0.0.1:1", r"127.0.0.1:0\u{a}127.0.0.1:1"),
        ("POSTERN_DATA_DIR", "da\tta", r"da\u{9}ta"),
        ("POSTERN_TRUSTED_PROXIES", "10.0.0.0/8\n192.0.2.1", r"10.0.0.0/8\u{a}192.0.2.1"),
        ("POSTERN_CORS_ORIGINS", "https://a.example.org\r", r""),
    ] {
        let postern = Postern::new().with(name, value);
        let (config, flag) = (postern.run(&["config"]).await, name.trim_start_matches("POSTERN_"));
        let flag = format!("--{}={value}", flag.to_lowercase().replace('_', "-"));
        if repeated.is_empty() {
            config.expect_done();
            continue;
        }

        for ended in [config, Postern::new().run(&["config", &flag]).await] {
            let expected = "expected UTF-8 text without line breaks and other control or invisible characters";
            assert_eq!(ended.code, Some(64), "{ended:?}");
            assert_eq!(ended.stderr, format!("postern: {name}: invalid value `{repeated}`: {expected}\n"));
            assert!(ended.stdout.contains(repeated) && !ended.stdout.contains(value), "{}", ended.stdout);
        }
    }
}

#[tokio::test]
async fn control_characters_in_a_store_url_are_refused() {
    for postern in [
        Postern::on("postgres://localhost/postern\nx", redis_url()),
        Postern::on("postgres://localhost/postern", "redis://localhost/0\r\nredis://localhost/1"),
    ] {
        let ended = postern.with("POSTERN_KEYS_DIR", "keys").run(&["serve"]).await;
        ended.expect_failed(64, "_URL: invalid value: expected UTF-8 text without line breaks");
    }
    let postern = Postern::new().with("DATABASE_URL_FILE", "url").with("POSTERN_KEYS_DIR", "keys");
    write_private(&postern.path("url"), "postgres://localhost/first\npostgres://localhost/second\n");
    let reason = "DATABASE_URL_FILE: url: invalid content: expected a URL on one line";
    postern.run(&["migrate"]).await.expect_failed(64, reason);
}

#[tokio::test]
async fn arguments_are_trimmed_and_errors_escape_them() {
    let postern = Postern::new();
    let create = ["user", "create", "ada@example.org\r", "--name", "Ada\n"];
    postern.run_with_input(&create, PASSWORD).await.expect_done();
    postern.run(&["user", "show", "ada@example.org\r\n"]).await.expect_done();

    for arguments in [["user", "show", "a\u{1b}[31m\r\n"], ["keys", "generate", "a\u{1b}[31m\r\n"]] {
        let ended = postern.run(&arguments).await;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stderr.contains(r"'a\u{1b}[31m"), "{}", ended.stderr);
        assert!(!ended.stderr.contains(['\u{1b}', '\r']), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn files_may_begin_with_a_byte_order_mark() {
    let files = Postern::new()
        .with("DATABASE_URL_FILE", "database-url")
        .with("REDIS_URL_FILE", "redis-url")
        .with("POSTERN_KEYS_DIR", "keys");
    write_private(&files.path("database-url"), &format!("\u{feff}{}\r\n", empty_schema().await));
    write_private(&files.path("redis-url"), &format!("\u{feff}{}\r\n", redis_url()));
    let stores = files.with_keys().await.migrated().await;
    for path in std::fs::read_dir(stores.path("keys")).expect("a directory").map(|entry| entry.expect("a file").path())
    {
        let text = std::fs::read_to_string(&path).expect("a text");
        write_private(&path, &format!("\u{feff}{text}"));
    }
    for postern in [Postern::new(), stores] {
        let postern = postern
            .with("POSTERN_API_KEYS_FILE", "api-keys")
            .with("POSTERN_TLS_CERT", "cert.pem")
            .with("POSTERN_TLS_KEY", "key.pem");
        write_private(&postern.path("api-keys"), &format!("\u{feff}billing {KEY}\r\n"));
        crate::tls::make_certificate(&postern.path("cert.pem"), &postern.path("key.pem")).await;
        for name in ["cert.pem", "key.pem"] {
            let text = std::fs::read_to_string(postern.path(name)).expect("a text");
            write_private(&postern.path(name), &format!("\u{feff}{text}"));
        }

        let serving = postern.serve().await;
        serving.probe("/readyz").send().await.expect(200);
    }
}

#[tokio::test]
async fn other_encodings_and_encrypted_keys_are_named() {
    let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let refused = async |setting: &'static str, content: &[u8], code: i32, reason: &str| {
        let postern = Postern::new().with("POSTERN_TLS_CERT", "cert.pem").with("POSTERN_TLS_KEY", "key.pem");
        crate::tls::make_certificate(&postern.path("cert.pem"), &postern.path("key.pem")).await;
        let file = if setting == "POSTERN_TLS_KEY" { "key.pem" } else { "file" };
        write_private(&postern.path(file), "");
        std::fs::write(postern.path(file), content).expect("a file");
        let postern = postern.with("REDIS_URL", redis_url()).with("POSTERN_KEYS_DIR", "keys").with(setting, file);
        let postern = if setting == "DATABASE_URL_FILE" { postern } else { postern.with("REDIS_URL", "") };
        postern.run(&["serve"]).await.expect_failed(code, reason);
    };

    let reason = "file: the encoding is UTF-16LE: expected UTF-8";
    refused("DATABASE_URL_FILE", &utf_16("\u{feff}postgres://localhost/x\r\n"), 64, reason).await;
    let reason = "file: the encoding is UTF-16LE: expected UTF-8 (convert it: iconv -f UTF-16LE -t UTF-8)";
    refused("POSTERN_API_KEYS_FILE", &utf_16("billing x\r\n"), 1, reason).await;
    let reason = "key.pem: the private key is encrypted: expected one without a passphrase";
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    refused("POSTERN_TLS_KEY", encrypted, 1, reason).await;
}

#[tokio::test]
async fn password_on_standard_input_loses_the_mark_and_the_line_end() {
    for postern in Postern::on_each_backend().await {
        for (email, input) in [
            ("mark@example.org", format!("\u{feff}{PASSWORD}\r\n")),
            ("plain@example.org", PASSWORD.to_owned()),
            ("spaces@example.org", format!(" {PASSWORD} \n")),
        ] {
            postern.run_with_input(&["user", "create", email, "--name", "Ada"], &input).await.expect_done();
        }
        let serving = postern.serve().await;

        for email in ["mark@example.org", "plain@example.org"] {
            serving.api().log_in(email, PASSWORD).send().await.expect(200);
        }
        serving.api().log_in("spaces@example.org", PASSWORD).send().await.expect_problem(401, "invalid_credentials");
        serving.api().log_in("spaces@example.org", &format!(" {PASSWORD} ")).send().await.expect(200);
        // A body is not a file: a mark in its password is one of its characters.
        let marked = format!("\u{feff}{PASSWORD}");
        serving.api().log_in("plain@example.org", &marked).send().await.expect_problem(401, "invalid_credentials");
    }
}
