//! Settings from the environment: each line of the input is one, such as `POSTERN_LISTEN=127.0.0.1:0`.
#![no_main]

use std::{collections::HashMap, fmt::Debug};

use postern::config::{Config, ConfigError, SETTINGS, Values, for_backup, for_keys, for_migrate, for_users};

libfuzzer_sys::fuzz_target!(|environment: &str| {
    let set: HashMap<_, _> = environment.lines().filter_map(|line| line.split_once('=')).collect();
    let values = Values::new(|_| None, |name| set.get(name).map(|text| (*text).to_owned()));

    for errors in config_errors(&values) {
        assert!(!errors.is_empty(), "a rejection without an error");
        for error in errors {
            assert!(SETTINGS.iter().any(|setting| setting.name == error.name), "{error}");
            assert!(!error.message.is_empty(), "{error:?}");
            assert!(!credentials(&set, error.name).is_some_and(|secret| error.message.contains(secret)), "{error}");
        }
    }
    for setting in SETTINGS.iter().filter(|setting| setting.is_secret) {
        assert!(["(set, not shown)", setting.default].contains(&values.display(setting).0));
    }
});

/// Returns what is before the last `@` of a URL, if it is too long to be in an error by chance.
fn credentials<'set>(set: &HashMap<&str, &'set str>, name: &str) -> Option<&'set str> {
    let is_secret = SETTINGS.iter().any(|setting| setting.name == name && setting.is_secret);
    let (credentials, _) = set.get(name).filter(|_| is_secret)?.split_once("://")?.1.rsplit_once('@')?;
    Some(credentials).filter(|credentials| credentials.len() >= 12)
}

/// Returns the errors of each command that rejects these settings.
fn config_errors(values: &Values) -> Vec<Vec<ConfigError>> {
    let each = [
        errors_of(Config::for_serve(values)),
        errors_of(for_migrate(values)),
        errors_of(for_users(values)),
        errors_of(for_backup(values)),
        errors_of(for_keys(values)),
    ];
    each.into_iter().flatten().collect()
}

/// Returns the errors, or checks that accepted settings have a `Debug` text.
fn errors_of(config: Result<impl Debug, Vec<ConfigError>>) -> Option<Vec<ConfigError>> {
    config.map(|config| assert!(!format!("{config:?}").is_empty())).err()
}
