use proptest::prelude::*;

use super::{
    super::{serve::Config, settings::SETTINGS},
    *,
};
use crate::{
    http::Origin,
    model::{is_plain, trimmed},
};

/// Returns the errors if only this setting is set.
fn errors_of(name: &str, text: &str) -> Vec<ConfigError> {
    let values = Values::new(|_| None, |other| (other == name).then(|| text.to_owned()));
    Config::for_serve(&values).err().unwrap_or_default()
}

/// Generates values that resemble valid ones, and arbitrary ones.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[-+]?[0-9]{1,20}(\\.[0-9]{1,3})?( ?([kmgtp]i?b|ns|ms|s|m|h|d|days|y))?",
        "(\\[::\\]|127\\.0\\.0\\.1|localhost)?:[0-9]{1,6}",
        "(postgres(ql)?|redis(s|\\+unix)?|unix)://[a-z:@/?=&%0-9\\[\\],.-]{0,40}",
        "(?s).{0,24}",
    ]
}

proptest! {
    #[test]
    fn any_value_is_accepted_or_its_setting_is_named(setting in prop::sample::select(SETTINGS), text in any_value()) {
        let errors = errors_of(setting.name, &text);

        // These settings require others, and an error about equal addresses names the second listener.
        let involves_others = [
            "DATABASE_URL", "DATABASE_URL_FILE", "REDIS_URL", "REDIS_URL_FILE",
            "POSTERN_LISTEN", "POSTERN_TLS_CERT", "POSTERN_TLS_KEY",
            "POSTERN_DATABASE_CERT_FILE", "POSTERN_DATABASE_KEY_FILE", "POSTERN_REDIS_CERT_FILE",
            "POSTERN_REDIS_KEY_FILE", "POSTERN_ADMIN_API",
        ];
        let is_named =
            |error: &ConfigError| error.name == setting.name || involves_others.contains(&setting.name);
        prop_assert!(errors.iter().all(is_named), "{:?}", errors);
        prop_assert!(errors.iter().all(|error| !error.message.is_empty()));
    }

    #[test]
    fn errors_reveal_nothing_of_an_invalid_url(text in any_value()) {
        for (name, scheme) in [("DATABASE_URL", "postgres"), ("REDIS_URL", "redis")] {
            // Not a valid scheme.
            let invalid = format!("x{text}");
            prop_assume!(is_plain(&invalid) && trimmed(&invalid).len() > 1);
            let errors = |text: &str| errors_of(name, text);

            prop_assert_eq!(errors(&invalid), errors("x"));
            prop_assert!(errors(&invalid).iter().any(|error| error.message.contains(scheme)));
        }
    }
}

fn errors_for(environment: &[(&str, &str)]) -> Vec<String> {
    read(environment).expect_err("invalid settings")
}

fn read(environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let lookup = |name: &str| environment.iter().find(|(other, _)| *other == name).map(|(_, text)| (*text).to_owned());
    let config = Config::for_serve(&Values::new(|_| None, lookup));
    config.map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn certificate_and_key_require_each_other() {
    let both = [("POSTERN_TLS_CERT", "cert.pem"), ("POSTERN_TLS_KEY", "key.pem")];

    assert!(read(&both).is_ok_and(|config| config.tls.is_some()));
    assert!(read(&[]).is_ok_and(|config| config.tls.is_none()));
    assert_eq!(
        errors_for(&both[..1]),
        ["POSTERN_TLS_KEY: not set although POSTERN_TLS_CERT is: expected both or neither"]
    );
    assert_eq!(
        errors_for(&both[1..]),
        ["POSTERN_TLS_CERT: not set although POSTERN_TLS_KEY is: expected both or neither"]
    );
}

#[test]
fn public_listener_requires_the_trusted_proxies() {
    let missing = "POSTERN_TRUSTED_PROXIES: not set although POSTERN_LISTEN is not a loopback address: expected the \
                   networks of the reverse proxies, or `none` if clients connect directly";
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[2001:db8::1]:0", "[::ffff:0.0.0.0]:0"] {
        let listen = ("POSTERN_LISTEN", address);

        assert_eq!(errors_for(&[listen]), [missing], "{address}");
        assert_eq!(errors_for(&[listen, ("POSTERN_TRUSTED_PROXIES", "")]), [missing], "{address}");
        for proxies in ["none", "192.0.2.8", "10.8.0.0/24,2001:db8::/64"] {
            assert!(read(&[listen, ("POSTERN_TRUSTED_PROXIES", proxies)]).is_ok(), "{address} {proxies}");
        }
    }
}

#[test]
fn loopback_listener_needs_no_trusted_proxies() {
    for address in ["127.0.0.1:0", "127.8.8.8:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
        let config = read(&[("POSTERN_LISTEN", address)]);
        assert!(config.is_ok_and(|config| config.trusted_proxies == TrustedProxies::default()), "{address}");
    }
    assert!(read(&[("POSTERN_OPS_LISTEN", "0.0.0.0:0")]).is_ok());
}

#[test]
fn public_admin_api_requires_networks_and_the_trusted_proxies() {
    let public = ("POSTERN_ADMIN_API", "public");
    let networks = |text| ("POSTERN_ADMIN_NETWORKS", text);
    let no_proxies = ("POSTERN_TRUSTED_PROXIES", "none");

    assert_eq!(
        errors_for(&[public, no_proxies]),
        [
            "POSTERN_ADMIN_NETWORKS: not set although POSTERN_ADMIN_API is public: expected the networks of the clients of \
          `/admin/api/`"
        ]
    );
    assert_eq!(
        errors_for(&[public, networks("10.8.0.0/24"), ("POSTERN_LISTEN", "127.0.0.1:0")]),
        [
            "POSTERN_TRUSTED_PROXIES: not set although POSTERN_ADMIN_API is public: expected the networks of the reverse \
          proxies, or `none` if clients connect directly"
        ]
    );
    assert!(read(&[public, no_proxies, networks("10.8.0.0/24, 2001:db8::/64")]).is_ok());
    for listener in ["operations", "off"] {
        assert!(read(&[("POSTERN_ADMIN_API", listener)]).is_ok_and(|config| config.admin_access.networks.is_none()));
    }
    for invalid in ["none", "0.0.0.0/0", "10.8.0.5/8", "::ffff:10.8.0.0/120", "10.8.0.0/24,"] {
        assert_eq!(errors_for(&[public, no_proxies, networks(invalid)]).len(), 1, "{invalid}");
    }
    assert_eq!(
        errors_for(&[("POSTERN_ADMIN_API", "both"), ("POSTERN_ADMIN_REAUTH_AGE", "30s")]),
        [
            "POSTERN_ADMIN_API: invalid value `both`: expected operations, public or off",
            "POSTERN_ADMIN_REAUTH_AGE: invalid value `30s`: expected a duration between 1m and 24h",
        ]
    );
}

#[test]
fn missing_proxies_are_reported_with_every_other_error() {
    let listen = ("POSTERN_LISTEN", "0.0.0.0:0");

    assert_eq!(errors_for(&[listen, ("POSTERN_MAX_SESSIONS", "0")]).len(), 2);
    // One error per fault: an invalid value is set, and an invalid address is not known to be public.
    assert_eq!(errors_for(&[listen, ("POSTERN_TRUSTED_PROXIES", "none,10.8.0.0/24")]).len(), 1);
    assert_eq!(errors_for(&[("POSTERN_LISTEN", "0.0.0.0")]).len(), 1);
}

#[test]
fn origins_are_separated_by_commas() {
    let listed = ("POSTERN_CORS_ORIGINS", "https://app.example.org, http://localhost:3000");

    assert!(read(&[listed]).is_ok());
    assert_eq!(errors_for(&[("POSTERN_CORS_ORIGINS", "https://app.example.org,")]).len(), 1);
    let expected = "*".parse::<Origin>().expect_err("no origin");
    assert_eq!(
        errors_for(&[("POSTERN_CORS_ORIGINS", "*")]),
        [format!("POSTERN_CORS_ORIGINS: invalid value `*`: expected {expected}")]
    );
}
