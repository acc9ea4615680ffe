use super::*;

fn url(text: &str) -> PostgresUrl {
    text.parse().unwrap_or_else(|error| panic!("{text}: expected {error}"))
}

/// Returns what is expected instead of these parameters.
fn parameter_error(parameters: &str) -> String {
    let text = format!("postgres://ada:hunter2@localhost/accounts?{parameters}");
    let error = text.parse::<PostgresUrl>().err().unwrap_or_else(|| panic!("{parameters} is accepted"));
    assert!(!error.contains("hunter2"), "{error}");
    error
}

#[test]
fn parts_of_a_url_are_decoded() {
    let url = url("postgresql://ad%40:hun%23ter2@localhost:5433/my%20accounts");

    assert_eq!(url.config.get_user(), Some("ad@"));
    assert_eq!(url.config.get_password(), Some(&b"hun#ter2"[..]));
    assert_eq!(url.config.get_dbname(), Some("my accounts"));
    assert_eq!(url.to_string(), "postgres://localhost:5433/my accounts");
}

#[test]
fn every_form_of_host_is_accepted() {
    for (text, shown) in [
        ("POSTGRES://ada@localhost", "postgres://localhost:5432/"),
        ("postgres://localhost/x", "postgres://localhost:5432/x"),
        ("postgres://ada:@one:1,two:2/x", "postgres://one:1,two:2/x"),
        ("postgres://[2001:db8::1]:5433/x", "postgres://[2001:db8::1]:5433/x"),
        ("postgres://ada@%2Frun%2Fpostgresql/x", "postgres:///run/postgresql:5432/x"),
        ("postgres:///x?host=/run/postgresql&port=5433", "postgres:///run/postgresql:5433/x"),
        ("postgres://localhost/x?host=/run/postgresql", "postgres:///run/postgresql:5432/x"),
        ("postgres:///x?host=one,::1&port=5433", "postgres://one:5433,[::1]:5433/x"),
        ("postgres://?host=one,two&port=1,2&dbname=x&user=ada&password=s", "postgres://one:1,two:2/x"),
        ("postgres://one,two/x?hostaddr=192.0.2.1,192.0.2.2", "postgres://one:5432,two:5432/x"),
    ] {
        assert_eq!(url(text).to_string(), shown, "{text}");
    }
}

#[test]
fn hosts_that_never_work_are_refused() {
    for text in [
        "postgres://",
        "postgres:///x",
        "postgres://ada:secret@/x",
        "postgres://ada:secret@:5432/x",
        "postgres://localhost:0/x",
        "postgres://localhost:65536/x",
        "postgres://one,,two/x",
        "postgres://::1/x",
        "postgres://localhost/x?port=5433",
        "postgres:///x?host=one,two&port=1,2,3",
        "postgres:///x?host=one:1",
        "postgres://one,two/x?hostaddr=192.0.2.1",
        "postgres://one/x?hostaddr=two",
        "postgres://:secret@localhost/x",
        "postgres://ada@localhost/x?user=eve",
        "postgres://ada:secret@localhost/x?password=other",
        "postgres://localhost/x?dbname=y",
        "postgres://%2Frun%2Fpostgresql/x?sslmode=require",
        "postgres://one,%2Frun%2Fpostgresql/x?sslmode=require",
        "postgres://-a-/x?sslmode=require",
        "host=localhost user=ada",
        "postgresql+asyncpg://localhost/x",
    ] {
        assert!(text.parse::<PostgresUrl>().is_err(), "{text}");
    }
}

#[test]
fn tls_is_on_in_each_mode_that_verifies() {
    for (parameters, is_encrypted) in [
        ("", false),
        ("sslmode=disable", false),
        ("sslmode=require", true),
        ("sslmode=verify-ca", true),
        ("sslmode=verify-full", true),
        ("sslmode=require&channel_binding=require&sslnegotiation=postgres", true),
    ] {
        assert_eq!(url(&format!("postgres://localhost/x?{parameters}")).is_encrypted(), is_encrypted, "{parameters}");
    }
    assert!(parameter_error("sslmode=prefer").contains("not `prefer`: it falls back"));
    assert!(parameter_error("sslmode=allow").contains("not `allow`: it falls back"));
    assert!(parameter_error("sslmode=hunter2").starts_with("sslmode=disable, require, verify-ca or verify-full"));
    assert!(parameter_error("sslmode=require&sslmode=disable").contains("only once"));
    assert!(parameter_error("channel_binding=require").contains("needs TLS"));
}

#[test]
fn parameters_are_applied_and_none_is_overridden() {
    let config = url(
        "postgres://localhost/x?application_name=accounts&options=-c%20search_path%3Da&connect_timeout=7&keepalives=0&\
         keepalives_count=3&target_session_attrs=primary&client_encoding=UTF8&gssencmode=disable&load_balance_hosts=random",
    )
    .config;

    assert_eq!((config.get_application_name(), config.get_options()), (Some("accounts"), Some("-c search_path=a")));
    assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(7)));
    assert_eq!((config.get_keepalives(), config.get_keepalives_retries()), (false, Some(3)));
    for attributes in ["any", "read-write", "primary"] {
        let config = url(&format!("postgres://localhost/x?target_session_attrs={attributes}")).config;
        assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    }
    assert_eq!(url("postgres://localhost/x").config.get_application_name(), Some("postern"));
}

#[test]
fn parameter_that_cannot_be_met_is_named() {
    for (parameter, advice) in [
        ("schema=app", "no parameter `schema`: write options=-c%20search_path%3Dname"),
        ("pgbouncer=true", "no parameter `pgbouncer`: remove it"),
        ("connection_limit=5", "no parameter `connection_limit`: remove it"),
        ("statement_timeout=5", "no parameter `statement_timeout`: remove it: POSTERN_STORE_TIMEOUT"),
        ("ssl=true", "no parameter `ssl`: write sslmode=verify-full"),
        ("sslrootcert=ca.pem", "no parameter `sslrootcert`: set POSTERN_DATABASE_CA_FILE"),
        ("sslcert=cert.pem", "set POSTERN_DATABASE_CERT_FILE"),
        ("sslkey=key.pem", "set POSTERN_DATABASE_KEY_FILE"),
        ("frobnicate=1", "no parameter `frobnicate`: remove it"),
        ("fro bnicate=1", "known parameters only"),
        ("target_session_attrs=read-only", "target_session_attrs=any, read-write or primary"),
        ("target_session_attrs=prefer-standby", "target_session_attrs=any, read-write or primary"),
        ("sslnegotiation=direct", "sslnegotiation=postgres"),
        ("gssencmode=require", "gssencmode=disable"),
        ("client_encoding=LATIN1", "client_encoding=UTF8"),
        ("channel_binding=maybe", "channel_binding=disable, prefer or require"),
        ("connect_timeout=soon", "a whole number in `connect_timeout`"),
        ("keepalives=hunter2", "keepalives=0 or 1"),
        ("sslmode", "name=value"),
    ] {
        assert!(parameter_error(parameter).contains(advice), "{parameter}: {}", parameter_error(parameter));
    }
}
