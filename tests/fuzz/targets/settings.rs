//! Settings, as the environment has them: a line of the input for each, `POSTERN_LISTEN=127.0.0.1:0`.
#![no_main]

use std::{collections::HashMap, fmt::Debug, sync::LazyLock};

use postern::config::{Config, ConfigError, SETTINGS, Values, for_backup, for_keys, for_migrate, for_users};

/// What is said of a secret that is wrong or not set, whatever it is.
static SAID_OF_SECRETS: LazyLock<Vec<ConfigError>> = LazyLock::new(|| {
    let one_of = |name: &'static str| Values::new(|_| None, move |other| (other == name).then(|| "x".to_owned()));
    let none = Values::default();
    let each = ["DATABASE_URL", "REDIS_URL"].map(one_of);
    let said = each.iter().chain([&none]).flat_map(|values| mistakes(values).into_iter().flatten());
    said.filter(|mistake| is_secret(mistake.name)).collect()
});

libfuzzer_sys::fuzz_target!(|environment: &str| {
    let set: HashMap<_, _> = environment.lines().filter_map(|line| line.split_once('=')).collect();
    let values = Values::new(|_| None, |name| set.get(name).map(|text| (*text).to_owned()));

    for mistakes in mistakes(&values) {
        assert!(!mistakes.is_empty(), "a refusal says why");
        for mistake in mistakes {
            assert!(SETTINGS.iter().any(|setting| setting.name == mistake.name), "{mistake}");
            assert!(!mistake.message.is_empty(), "{mistake:?}");
            assert!(!is_secret(mistake.name) || SAID_OF_SECRETS.contains(&mistake), "{mistake}");
        }
    }
    for setting in SETTINGS.iter().filter(|setting| setting.is_secret) {
        assert!(["(set, not shown)", setting.default].contains(&values.display(setting).0));
    }
});

fn is_secret(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.name == name && setting.is_secret)
}

/// What each command that cannot do with these settings says of them.
fn mistakes(values: &Values) -> Vec<Vec<ConfigError>> {
    let each = [
        said(Config::for_serve(values)),
        said(for_migrate(values)),
        said(for_users(values)),
        said(for_backup(values)),
        said(for_keys(values)),
    ];
    each.into_iter().flatten().collect()
}

/// The mistakes; or else the settings can be shown, and are taken as they are.
fn said(config: Result<impl Debug, Vec<ConfigError>>) -> Option<Vec<ConfigError>> {
    config.map(|config| assert!(!format!("{config:?}").is_empty())).err()
}
