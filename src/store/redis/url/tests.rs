use super::*;

fn url(text: &str) -> RedisUrl {
    text.parse().unwrap_or_else(|error| panic!("{text}: expected {error}"))
}

fn error(text: &str) -> String {
    text.parse::<RedisUrl>().err().unwrap_or_else(|| panic!("{text} is accepted"))
}

#[test]
fn every_scheme_is_accepted_in_any_case() {
    for (text, shown) in [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("redis://localhost/", "redis://localhost:6379/0"),
        ("Redis://localhost:6380/3/", "redis://localhost:6380/3"),
        ("valkey://localhost/1", "redis://localhost:6379/1"),
        ("rediss://localhost", "rediss://localhost:6379/0"),
        ("valkeys://localhost", "rediss://localhost:6379/0"),
        ("redis://localhost?protocol=resp2", "redis://localhost:6379/0"),
        ("unix:///run/redis.sock?db=2", "redis:///run/redis.sock/2"),
        ("redis+unix:///run/redis.sock", "redis:///run/redis.sock/0"),
        ("valkey+unix://localhost/run/redis.sock", "redis:///run/redis.sock/0"),
    ] {
        assert_eq!(url(text).to_string(), shown, "{text}");
    }
    assert!(url("valkeys://[::1]").is_encrypted());
}

#[test]
fn credentials_are_decoded() {
    for text in ["redis://ad%40:hun%23ter2@localhost", "unix:///redis.sock?user=ad@&pass=hun%23ter2"] {
        let info = url(text).info;
        let settings = info.redis_settings();
        assert_eq!((settings.username(), settings.password()), (Some("ad@"), Some("hun#ter2")), "{text}");
    }
    let without_user = url("redis://:hunter2@localhost").info;
    assert_eq!(without_user.redis_settings().username(), None);
    assert_eq!(without_user.redis_settings().password(), Some("hunter2"));
}

#[test]
fn url_that_never_works_is_refused() {
    for text in [
        "redis://",
        "redis:///0",
        "redis://:hunter2@/0",
        "redis://localhost:0",
        "redis://localhost:65536",
        "redis://0.0.0.0",
        "rediss://[::]",
        "redis://::1",
        "redis://one,two",
        "redis://localhost/-1",
        "redis://localhost/+1",
        "redis://localhost/2147483648",
        "redis://localhost/0/1",
        "redis://localhost/zero",
        "redis://hunter2@localhost",
        "redis://:%ff@localhost",
        "redis://%2Frun%2Fredis.sock",
        "rediss://-a-",
        "redis://localhost?protocol=resp3",
        "unix://run/redis.sock",
        "unix://",
        "unix://:hunter2@localhost/run/redis.sock",
        "unix:///run/redis.sock?db=x",
        "unix:///run/redis.sock?user=ada",
        "redis+sentinel://localhost",
        "localhost:6379",
    ] {
        let error = error(text);
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn tls_without_verification_is_refused() {
    for text in
        ["rediss://localhost#insecure", "valkeys://:hunter2@localhost/0#insecure", "redis://localhost/#insecure"]
    {
        assert!(error(text).starts_with("no `#insecure`: TLS always verifies"), "{text}");
    }
    assert!(error("rediss://localhost#other").starts_with("no `#`"));
    assert!(error("rediss://localhost?ssl_cert_reqs=none").starts_with("no parameter `ssl_cert_reqs`: remove it"));
}

#[test]
fn parameter_that_cannot_be_met_is_named() {
    for (parameter, advice) in [
        ("db=1", "no parameter `db`: write the database as the path"),
        ("password=hunter2", "no parameter `password`: write user and password before the host"),
        ("ssl=true", "no parameter `ssl`: write rediss://"),
        ("timeout=5", "no parameter `timeout`: remove it"),
        ("frobnicate=1", "no parameter `frobnicate`: remove it"),
    ] {
        assert!(error(&format!("redis://localhost?{parameter}")).starts_with(advice), "{parameter}");
    }
}
