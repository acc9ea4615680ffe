//! Parses the values of settings, and gathers what is wrong with them.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use bytesize::ByteSize;

use super::{
    hash_budget::{memory_limit, objection},
    settings::{
        ACCESS_FORMAT, ACCESS_TTL, CORS_ORIGINS, ConfigError, DATA_DIR, DATABASE, DATABASE_URL, HASH_LANES,
        HASH_MAX_WAIT, HASH_MEMORY, HASH_PASSES, HASH_THREADS, KEYS_DIR, KEYS_MAX_AGE, LOG_FORMAT, REDIS, REDIS_URL,
        REFRESH_TTL, SESSION_IDLE_TTL, Setting, TLS_CERT, TLS_KEY, UrlSettings, Values,
    },
    stores::{EmbeddedConfig, Stores},
};
use crate::{
    accounts::Lifetimes,
    http::Origins,
    logging::LogFormat,
    passwords::{HashParameters, HasherSettings},
    server::TlsFiles,
    store::StoreUrl,
    tokens::AccessFormat,
};

/// Parses values and gathers mistakes. Where a value is wrong, its default stands in until [`Reader::finish`].
pub struct Reader<'values> {
    values: &'values Values,
    errors: Vec<ConfigError>,
}

impl<'values> Reader<'values> {
    pub fn new(values: &'values Values) -> Self {
        Self { values, errors: Vec::new() }
    }

    pub fn finish<T>(self, read: T) -> Result<T, Vec<ConfigError>> {
        if self.errors.is_empty() { Ok(read) } else { Err(self.errors) }
    }

    pub fn error(&mut self, setting: &Setting, sentence: impl Into<String>) {
        self.errors.push(ConfigError { name: setting.name, sentence: sentence.into() });
    }

    pub fn set(&self, setting: &Setting) -> Option<&'values str> {
        self.values.set(setting)
    }

    /// A value by its parser, or the default by the same one.
    pub fn read<T>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Result<T, String>) -> T {
        if let Some(text) = self.set(setting) {
            match parse(text) {
                Ok(value) => return value,
                Err(expected) => self.error(setting, format!("`{text}` is wrong; right would be {expected}")),
            }
        }
        parse(setting.default).unwrap_or_else(|expected| unreachable!("the default of {}: {expected}", setting.name))
    }

    pub fn parsed<T: FromStr>(&mut self, setting: &Setting, expected: &str) -> T {
        self.read(setting, |text| text.parse().map_err(|_| expected.to_owned()))
    }

    pub fn number<T: FromStr + PartialOrd + Copy + fmt::Display>(&mut self, setting: &Setting, least: T, most: T) -> T {
        self.read(setting, |text| {
            let number = text.parse().ok().filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| format!("a whole number from {least} to {most}"))
        })
    }

    pub fn duration(&mut self, setting: &Setting, least: &'static str, most: &'static str) -> Duration {
        self.read(setting, |text| {
            let duration = duration_within(text, least, most);
            duration.ok_or_else(|| format!("a time from {least} to {most}, as in {}", setting.default))
        })
    }

    pub fn optional_duration(
        &mut self,
        setting: &Setting,
        least: &'static str,
        most: &'static str,
    ) -> Option<Duration> {
        self.read(setting, |text| match text {
            "none" => Ok(None),
            text => {
                let duration = duration_within(text, least, most);
                duration.map(Some).ok_or_else(|| format!("none, or a time from {least} to {most}"))
            }
        })
    }

    pub fn switch(&mut self, setting: &Setting) -> bool {
        self.read(setting, |text| match text {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err("on or off".to_owned()),
        })
    }

    pub fn path(&mut self, setting: &Setting) -> PathBuf {
        self.read(setting, |text| Ok(PathBuf::from(text)))
    }

    pub fn claim(&mut self, setting: &Setting) -> String {
        self.read(setting, |text| Ok(text.to_owned()))
    }

    pub fn access_format(&mut self) -> AccessFormat {
        self.read(&ACCESS_FORMAT, AccessFormat::from_str)
    }

    pub fn lifetimes(&mut self) -> Lifetimes {
        Lifetimes {
            access: self.duration(&ACCESS_TTL, "1s", "1h"),
            session: self.duration(&REFRESH_TTL, "1s", "365d"),
            idle: self.optional_duration(&SESSION_IDLE_TTL, "2m", "365d"),
            published_keys: self.duration(&KEYS_MAX_AGE, "1s", "24h"),
        }
    }

    pub fn log_format(&mut self) -> LogFormat {
        self.read_or(&LOG_FORMAT, LogFormat::for_standard_error())
    }

    /// A value whose default is in words.
    fn read_or<T: FromStr<Err = String>>(&mut self, setting: &Setting, default: T) -> T {
        let Some(text) = self.set(setting) else { return default };
        text.parse().unwrap_or_else(|expected| {
            self.error(setting, format!("`{text}` is wrong; right would be {expected}"));
            default
        })
    }

    /// How a server hashes: its threads have what memory they need, all at once.
    pub fn server_hashing(&mut self) -> HasherSettings {
        let hashing = self.hashing();
        if let Some(objection) = memory_limit().and_then(|limit| objection(&hashing, limit)) {
            self.error(&HASH_MEMORY, objection);
        }
        hashing
    }

    pub fn hashing(&mut self) -> HasherSettings {
        let memory = self.read(&HASH_MEMORY, |text| {
            let size: Option<ByteSize> = text.parse().ok();
            let range = ByteSize::kib(8)..=ByteSize::gib(4);
            size.filter(|size| range.contains(size)).ok_or_else(|| "a size from 8KiB to 4GiB, as in 19MiB".to_owned())
        });
        let lanes = self.number(&HASH_LANES, 1, 16);
        let memory_kib = u32::try_from(memory.as_u64() / 1024).unwrap_or(u32::MAX);
        if memory_kib < 8 * lanes {
            self.error(&HASH_MEMORY, format!("{lanes} lanes need at least {}KiB", 8 * lanes));
        }
        let parameters = HashParameters { memory_kib, passes: self.number(&HASH_PASSES, 1, 100), lanes };
        HasherSettings {
            parameters,
            threads: self.hash_threads(),
            max_wait: self.duration(&HASH_MAX_WAIT, "1ms", "60s"),
        }
    }

    pub fn hash_threads(&mut self) -> usize {
        let Threads(threads) = self.read_or(&HASH_THREADS, Threads::of_quota());
        threads
    }

    pub fn url<T: StoreUrl>(&mut self, UrlSettings { url, file }: UrlSettings) -> Option<T> {
        match (self.set(url), self.set(file)) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                self.error(file, format!("set beside {}: set one of them", url.name));
                None
            }
            // Neither the value nor the parser's words are repeated: both may hold the password.
            (Some(text), None) => {
                text.parse().map_err(|expected| self.error(url, format!("wrong; right would be {expected}"))).ok()
            }
            (None, Some(path)) => {
                T::read(Path::new(path)).map_err(|error| self.error(file, format!("{path}: {error}"))).ok()
            }
        }
    }

    pub fn stores(&mut self) -> Option<Stores> {
        let (database, redis) = (self.url(DATABASE), self.url(REDIS));
        match (self.values.has(DATABASE), self.values.has(REDIS)) {
            (false, false) => return Some(Stores::Embedded),
            (true, false) => self.error(&REDIS_URL, "not set beside DATABASE_URL: set both, or neither"),
            (false, true) => self.error(&DATABASE_URL, "not set beside REDIS_URL: set both, or neither"),
            (true, true) => {}
        }
        database.zip(redis).map(|(database, redis)| Stores::PostgresRedis(Box::new(database), Box::new(redis)))
    }

    /// A certificate and its key.
    pub fn tls(&mut self) -> Option<TlsFiles> {
        match (self.set(&TLS_CERT), self.set(&TLS_KEY)) {
            (Some(certificates), Some(key)) => {
                return Some(TlsFiles { certificates: certificates.into(), key: key.into() });
            }
            (None, None) => {}
            (Some(_), None) => self.error(&TLS_KEY, "not set beside POSTERN_TLS_CERT: set both, or neither"),
            (None, Some(_)) => self.error(&TLS_CERT, "not set beside POSTERN_TLS_KEY: set both, or neither"),
        }
        None
    }

    /// A list, or `none`.
    pub fn origins(&mut self) -> Origins {
        self.read(&CORS_ORIGINS, |text| match text {
            "none" => Ok(Origins::default()),
            text => text.split(',').map(|origin| origin.trim().parse()).collect(),
        })
    }

    /// Where the embedded store is; Redis without PostgreSQL is a mistake.
    pub fn embedded(&mut self) -> EmbeddedConfig {
        if self.values.has(REDIS) && !self.values.has(DATABASE) {
            self.error(&DATABASE_URL, "not set beside REDIS_URL: set both, or neither");
        }
        let data_dir = self.path(&DATA_DIR);
        EmbeddedConfig { keys_dir: self.keys_dir(true, &data_dir), data_dir }
    }

    pub fn keys_dir(&mut self, is_embedded: bool, data_dir: &Path) -> PathBuf {
        if let Some(text) = self.set(&KEYS_DIR) {
            return PathBuf::from(text);
        }
        if !is_embedded {
            self.error(&KEYS_DIR, "not set: name the directory that `postern keys generate` shall fill");
        }
        data_dir.join("keys")
    }
}

fn duration_within(text: &str, least: &str, most: &str) -> Option<Duration> {
    let bound = |text| humantime::parse_duration(text).unwrap_or_else(|_| unreachable!("a bound of a setting"));
    humantime::parse_duration(text).ok().filter(|duration| (bound(least)..=bound(most)).contains(duration))
}

/// A number of threads.
struct Threads(usize);

impl Threads {
    /// As many as the process may use at once, by its cgroup's quota.
    fn of_quota() -> Self {
        Self(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl FromStr for Threads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let threads = text.parse().ok().filter(|threads| (1..=256).contains(threads));
        threads.map(Self).ok_or_else(|| "a whole number from 1 to 256".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::settings::SETTINGS;
    use super::{super::serve::Config, *};

    /// What is said of a setting with this text, and of none beside it.
    fn said(name: &str, text: &str) -> Vec<ConfigError> {
        let values = Values::new(|_| None, |other| (other == name).then(|| text.to_owned()));
        Config::for_serve(&values).err().unwrap_or_default()
    }

    /// A text that a setting could be meant by, or any other.
    fn some_text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[-+]?[0-9]{1,20}(\\.[0-9]{1,3})?( ?([kmgtp]i?b|ns|ms|s|m|h|d|days|y))?",
            "(\\[::\\]|127\\.0\\.0\\.1|localhost)?:[0-9]{1,6}",
            "(postgres(ql)?|redis(s|\\+unix)?|unix)://[a-z:@/?=&%0-9\\[\\],.-]{0,40}",
            "(?s).{0,24}",
        ]
    }

    proptest! {
        #[test]
        fn a_setting_is_taken_or_named_whatever_its_text(setting in prop::sample::select(SETTINGS), text in some_text()) {
            let errors = said(setting.name, &text);

            // Beside a URL, another one is missed, and a directory of keys; beside a certificate, its key. Of two listeners, the
            // second one gives way.
            let has_others = ["DATABASE_URL", "DATABASE_URL_FILE", "REDIS_URL", "REDIS_URL_FILE", "POSTERN_LISTEN", "POSTERN_TLS_CERT", "POSTERN_TLS_KEY"].contains(&setting.name);
            let is_named = |error: &ConfigError| error.name == setting.name || has_others;
            prop_assert!(errors.iter().all(is_named), "{:?}", errors);
            prop_assert!(errors.iter().all(|error| !error.sentence.is_empty()));
        }

        #[test]
        fn of_a_wrong_url_no_more_is_told_than_of_any_other(text in some_text()) {
            for (name, scheme) in [("DATABASE_URL", "postgres"), ("REDIS_URL", "redis")] {
                // No scheme of either.
                let wrong = format!("x{text}");
                let told = |text: &str| said(name, text);

                prop_assert_eq!(told(&wrong), told("x"));
                prop_assert!(told(&wrong).iter().any(|error| error.sentence.contains(scheme)));
            }
        }
    }

    fn mistakes_of(environment: &[(&str, &str)]) -> Vec<String> {
        read(environment).expect_err("wrong settings")
    }

    fn read(environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let lookup =
            |name: &str| environment.iter().find(|(other, _)| *other == name).map(|(_, text)| (*text).to_owned());
        let config = Config::for_serve(&Values::new(|_| None, lookup));
        config.map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_certificate_has_a_key() {
        let both = [("POSTERN_TLS_CERT", "cert.pem"), ("POSTERN_TLS_KEY", "key.pem")];

        assert!(read(&both).is_ok_and(|config| config.tls.is_some()));
        assert!(read(&[]).is_ok_and(|config| config.tls.is_none()));
        assert_eq!(mistakes_of(&both[..1]), ["POSTERN_TLS_KEY: not set beside POSTERN_TLS_CERT: set both, or neither"]);
        assert_eq!(mistakes_of(&both[1..]), ["POSTERN_TLS_CERT: not set beside POSTERN_TLS_KEY: set both, or neither"]);
    }

    #[test]
    fn origins_are_a_list() {
        let listed = ("POSTERN_CORS_ORIGINS", "https://app.example.org, http://localhost:3000");

        assert!(read(&[listed]).is_ok());
        assert_eq!(mistakes_of(&[("POSTERN_CORS_ORIGINS", "https://app.example.org,")]).len(), 1);
        assert_eq!(
            mistakes_of(&[("POSTERN_CORS_ORIGINS", "*")]),
            ["POSTERN_CORS_ORIGINS: `*` is wrong; right would be comma-separated origins such as \
                https://app.example.org; `*` would let every web page try passwords"]
        );
    }
}
