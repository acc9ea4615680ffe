//! Settings from the environment: each line of the input is one, such as `POSTERN_LISTEN=127.0.0.1:0`.
#![no_main]

use std::{collections::HashMap, fmt::Debug, sync::LazyLock};

use postern::config::{Config, ConfigError, SETTINGS, Values, for_backup, for_keys, for_migrate, for_users};

/// The errors for invalid and missing secrets, which do not depend on the value.
static SECRET_ERRORS: LazyLock<Vec<ConfigError>> = LazyLock::new(|| {
    // Not a URL, and not plain text.
    let texts = ["x", "x\nx"];
    let one_of = |name: &'static str, text: &'static str| {
        Values::new(|_| None, move |other| (other == name).then(|| text.to_owned()))
    };
    let none = Values::default();
    let names = ["DATABASE_URL", "REDIS_URL"];
    let each: Vec<_> = names.into_iter().flat_map(|name| texts.map(|text| one_of(name, text))).collect();
    let errors = each.iter().chain([&none]).flat_map(|values| config_errors(values).into_iter().flatten());
    errors.filter(|error| is_secret(error.name)).collect()
});

libfuzzer_sys::fuzz_target!(|environment: &str| {
    let set: HashMap<_, _> = environment.lines().filter_map(|line| line.split_once('=')).collect();
    let values = Values::new(|_| None, |name| set.get(name).map(|text| (*text).to_owned()));

    for errors in config_errors(&values) {
        assert!(!errors.is_empty(), "a rejection without an error");
        for error in errors {
            assert!(SETTINGS.iter().any(|setting| setting.name == error.name), "{error}");
            assert!(!error.message.is_empty(), "{error:?}");
            assert!(!is_secret(error.name) || SECRET_ERRORS.contains(&error), "{error}");
        }
    }
    for setting in SETTINGS.iter().filter(|setting| setting.is_secret) {
        assert!(["(set, not shown)", setting.default].contains(&values.display(setting).0));
    }
});

fn is_secret(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.name == name && setting.is_secret)
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
