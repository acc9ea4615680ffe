//! Every setting: its name, unit, default and range. All mistakes are reported at once.
//!
//! A setting is an environment variable; each but the secrets is also a flag (`POSTERN_LISTEN`, `--listen`), which wins.

use std::{collections::HashMap, fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use bytesize::ByteSize;
use tracing_subscriber::filter::LevelFilter;

use crate::{
    accounts::Lifetimes,
    http::RequestLimits,
    passwords::{HashParameters, HasherSettings},
    store::{postgres::PostgresUrl, redis::RedisUrl},
    telemetry::LogFormat,
    tokens::AccessFormat,
};

/// What is known of a setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// What holds where it is not set, in words where it depends on something.
    pub default: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
    /// Whether it must never be shown; then it has no flag either, since others can read a command line.
    pub is_secret: bool,
}

impl Setting {
    /// The flag's name without its dashes: `listen` for `POSTERN_LISTEN`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.trim_start_matches("POSTERN_").to_ascii_lowercase().replace('_', "-")
    }
}

const fn setting(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, default, help, is_secret: false }
}

const fn secret(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, default, help, is_secret: true }
}

const LISTEN: Setting = setting("POSTERN_LISTEN", "127.0.0.1:8000", "Address and port of the public API");
const OPS_LISTEN: Setting =
    setting("POSTERN_OPS_LISTEN", "127.0.0.1:8001", "Address and port of the probes; never public");
const DATABASE_URL: Setting =
    secret("DATABASE_URL", "unset: embedded store", "postgres://user:password@host/database, for users");
const REDIS_URL: Setting = secret("REDIS_URL", "unset: embedded store", "redis://… or rediss://… (TLS), for sessions");
const DATA_DIR: Setting = setting("POSTERN_DATA_DIR", "./postern-data", "Directory of the embedded store and its keys");
const KEYS_DIR: Setting =
    setting("POSTERN_KEYS_DIR", "keys in the data directory when embedded, else required", "Directory of the keys");
const ISSUER: Setting = setting("POSTERN_ISSUER", "postern", "Claim `iss` of access tokens");
const AUDIENCE: Setting = setting("POSTERN_AUDIENCE", "postern", "Claim `aud` of access tokens");
const ACCESS_FORMAT: Setting = setting(
    "POSTERN_ACCESS_FORMAT",
    "paseto",
    "Format of access tokens: paseto; with the cargo feature `jwt` also paseto-jwt-claims",
);
const ACCESS_TTL: Setting = setting("POSTERN_ACCESS_TTL", "5m", "Life of an access token, 1s to 1h");
const REFRESH_TTL: Setting =
    setting("POSTERN_REFRESH_TTL", "24h", "Life of a session from login to its absolute end, 1m to 365d");
const PASSWORD_MIN_LENGTH: Setting =
    setting("POSTERN_PASSWORD_MIN_LENGTH", "8", "Code points of the shortest new password, 8 to 64");
const HASH_MEMORY: Setting =
    setting("POSTERN_HASH_MEMORY", "19MiB", "Memory of a password hash (Argon2id), 8KiB to 4GiB");
const HASH_PASSES: Setting = setting("POSTERN_HASH_PASSES", "2", "Passes of a password hash, 1 to 100");
const HASH_LANES: Setting = setting("POSTERN_HASH_LANES", "1", "Lanes of a password hash, 1 to 16");
const HASH_THREADS: Setting = setting("POSTERN_HASH_THREADS", "CPU quota", "Threads that hash passwords, 1 to 256");
const HASH_MAX_WAIT: Setting = setting("POSTERN_HASH_MAX_WAIT", "2s", "Longest wait for a hashing thread, 1ms to 60s");
const REQUEST_TIMEOUT: Setting = setting(
    "POSTERN_REQUEST_TIMEOUT",
    "10s",
    "Longest time for a request's head, and from there to its answer, 1s to 5m",
);
const STORE_TIMEOUT: Setting =
    setting("POSTERN_STORE_TIMEOUT", "1s", "Longest time for a request's store calls together, 10ms to 60s");
const MAX_CONNECTIONS: Setting =
    setting("POSTERN_MAX_CONNECTIONS", "10000", "Open connections of a listener, 1 to 1000000");
const DRAIN_DELAY: Setting =
    setting("POSTERN_DRAIN_DELAY", "0s", "From SIGTERM to the last accepted connection, 0s to 5m");
const SHUTDOWN_GRACE: Setting =
    setting("POSTERN_SHUTDOWN_GRACE", "20s", "After that, longest time for requests under way, 100ms to 10m");
const LOG: Setting = setting("POSTERN_LOG", "info", "Least level of the log: error, warn, info, debug, trace");
const LOG_FORMAT: Setting =
    setting("POSTERN_LOG_FORMAT", "text on a terminal, else json", "Format of the log: text or json");

/// Every setting, in the order in which it is shown.
pub const SETTINGS: &[Setting] = &[
    LISTEN,
    OPS_LISTEN,
    DATABASE_URL,
    REDIS_URL,
    DATA_DIR,
    KEYS_DIR,
    ISSUER,
    AUDIENCE,
    ACCESS_FORMAT,
    ACCESS_TTL,
    REFRESH_TTL,
    PASSWORD_MIN_LENGTH,
    HASH_MEMORY,
    HASH_PASSES,
    HASH_LANES,
    HASH_THREADS,
    HASH_MAX_WAIT,
    REQUEST_TIMEOUT,
    STORE_TIMEOUT,
    MAX_CONNECTIONS,
    DRAIN_DELAY,
    SHUTDOWN_GRACE,
    LOG,
    LOG_FORMAT,
];

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A flag on the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// Nowhere: the default.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::Default => "default",
        })
    }
}

/// The texts that somebody set, by name. An empty one counts as not set.
#[derive(Default)]
pub struct Values(HashMap<&'static str, (String, Source)>);

impl Values {
    /// The flags, and the environment where there is no flag.
    pub fn new(flag: impl Fn(&Setting) -> Option<String>, environment: impl Fn(&str) -> Option<String>) -> Self {
        let value = |setting: &Setting| {
            let flag = flag(setting).map(|text| (text, Source::Flag));
            let environment = || environment(setting.name).map(|text| (text, Source::Environment));
            flag.or_else(environment).filter(|(text, _)| !text.is_empty()).map(|value| (setting.name, value))
        };
        Self(SETTINGS.iter().filter_map(value).collect())
    }

    /// The flags that were given, and the environment of the process.
    pub fn of_process(flag: impl Fn(&Setting) -> Option<String>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
        let environment = |name: &str| std::env::var_os(name).map(|text| text.to_string_lossy().into_owned());
        Self::new(flag, environment)
    }

    /// A setting's value for people, and where it came from. A secret is never shown.
    #[must_use]
    pub fn shown(&self, setting: &Setting) -> (&str, Source) {
        match self.0.get(setting.name) {
            Some((_, source)) if setting.is_secret => ("(set, not shown)", *source),
            Some((text, source)) => (text, *source),
            None => (setting.default, Source::Default),
        }
    }
}

/// A setting that cannot be used, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Which setting.
    pub name: &'static str,
    /// What is wrong and what would be right.
    pub sentence: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.sentence)
    }
}

/// Where users and sessions are kept.
#[derive(Debug)]
pub enum Stores {
    /// In the data directory.
    Embedded,
    /// Users in PostgreSQL, sessions in Redis.
    PostgresRedis(Box<PostgresUrl>, Box<RedisUrl>),
}

/// The settings, parsed.
#[derive(Debug)]
pub struct Config {
    /// The public listener.
    pub listen: SocketAddr,
    /// The operations listener.
    pub ops_listen: SocketAddr,
    /// Where users and sessions are kept.
    pub stores: Stores,
    /// The directory of the embedded store.
    pub data_dir: PathBuf,
    /// The directory of the keys.
    pub keys_dir: PathBuf,
    /// Claim `iss`.
    pub issuer: String,
    /// Claim `aud`.
    pub audience: String,
    /// The format of new access tokens.
    pub access_format: AccessFormat,
    /// How long tokens and sessions live.
    pub lifetimes: Lifetimes,
    /// The shortest new password, in code points.
    pub password_min_length: usize,
    /// How passwords are hashed.
    pub hashing: HasherSettings,
    /// How long a request may take.
    pub limits: RequestLimits,
    /// How many connections a listener has at once.
    pub max_connections: usize,
    /// From SIGTERM to the last accepted connection.
    pub drain_delay: Duration,
    /// After that, how long requests under way may take.
    pub shutdown_grace: Duration,
    /// What is logged.
    pub log: LevelFilter,
    /// How it is written.
    pub log_format: LogFormat,
}

impl Config {
    /// Everything that `serve` needs.
    ///
    /// # Errors
    /// Every mistake.
    pub fn for_serve(values: &Values) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader::new(values);
        let stores = reader.stores();
        let is_embedded = matches!(stores, Some(Stores::Embedded));
        let data_dir = reader.path(&DATA_DIR);
        let config = Self {
            listen: reader.parsed(&LISTEN, "an address and a port, as in 127.0.0.1:8000"),
            ops_listen: reader.parsed(&OPS_LISTEN, "an address and a port, as in 127.0.0.1:8001"),
            stores: stores.unwrap_or(Stores::Embedded),
            keys_dir: reader.keys_dir(is_embedded, &data_dir),
            data_dir,
            issuer: reader.claim(&ISSUER),
            audience: reader.claim(&AUDIENCE),
            access_format: reader.access_format(),
            lifetimes: Lifetimes {
                access: reader.duration(&ACCESS_TTL, "1s", "1h"),
                session: reader.duration(&REFRESH_TTL, "1m", "365d"),
            },
            password_min_length: reader.number(&PASSWORD_MIN_LENGTH, 8, 64),
            hashing: reader.hashing(),
            limits: RequestLimits {
                request: reader.duration(&REQUEST_TIMEOUT, "1s", "5m"),
                store: reader.duration(&STORE_TIMEOUT, "10ms", "60s"),
            },
            max_connections: reader.number(&MAX_CONNECTIONS, 1, 1_000_000),
            drain_delay: reader.duration(&DRAIN_DELAY, "0s", "5m"),
            shutdown_grace: reader.duration(&SHUTDOWN_GRACE, "100ms", "10m"),
            log: reader.parsed(&LOG, "a level: error, warn, info, debug, trace"),
            log_format: reader.log_format(),
        };
        reader.finish(config)
    }
}

/// The database that `migrate` is for.
///
/// # Errors
/// Where it is not set, or not a URL.
pub fn for_migrate(values: &Values) -> Result<PostgresUrl, Vec<Mistake>> {
    let mut reader = Reader::new(values);
    let url = reader.url(&DATABASE_URL);
    if !values.0.contains_key(DATABASE_URL.name) {
        reader.mistake(&DATABASE_URL, "not set: the embedded store migrates itself when it is served");
    }
    reader.finish(url).and_then(|url| url.ok_or_else(Vec::new))
}

/// The directory that `keys` is for.
///
/// # Errors
/// Where it is not set, and the stores are not embedded.
pub fn for_keys(values: &Values) -> Result<PathBuf, Vec<Mistake>> {
    let mut reader = Reader::new(values);
    let is_embedded = [DATABASE_URL, REDIS_URL].iter().all(|url| !values.0.contains_key(url.name));
    let data_dir = reader.path(&DATA_DIR);
    let keys_dir = reader.keys_dir(is_embedded, &data_dir);
    reader.finish(keys_dir)
}

/// Parses values and gathers mistakes. Where a value is wrong, its default stands in until [`Reader::finish`].
struct Reader<'values> {
    values: &'values Values,
    mistakes: Vec<Mistake>,
}

impl<'values> Reader<'values> {
    fn new(values: &'values Values) -> Self {
        Self { values, mistakes: Vec::new() }
    }

    fn finish<T>(self, read: T) -> Result<T, Vec<Mistake>> {
        if self.mistakes.is_empty() { Ok(read) } else { Err(self.mistakes) }
    }

    fn mistake(&mut self, setting: &Setting, sentence: impl Into<String>) {
        self.mistakes.push(Mistake { name: setting.name, sentence: sentence.into() });
    }

    fn set(&self, setting: &Setting) -> Option<&'values str> {
        self.values.0.get(setting.name).map(|(text, _)| text.as_str())
    }

    /// A value by its parser, or the default by the same one.
    fn read<T>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Result<T, String>) -> T {
        if let Some(text) = self.set(setting) {
            match parse(text) {
                Ok(value) => return value,
                Err(right) => self.mistake(setting, format!("`{text}` is wrong; right would be {right}")),
            }
        }
        parse(setting.default).unwrap_or_else(|right| unreachable!("the default of {}: {right}", setting.name))
    }

    fn parsed<T: FromStr>(&mut self, setting: &Setting, right: &str) -> T {
        self.read(setting, |text| text.parse().map_err(|_| right.to_owned()))
    }

    fn number<T: FromStr + PartialOrd + Copy + fmt::Display>(&mut self, setting: &Setting, least: T, most: T) -> T {
        self.read(setting, |text| {
            let number = text.parse().ok().filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| format!("a whole number from {least} to {most}"))
        })
    }

    fn duration(&mut self, setting: &Setting, least: &'static str, most: &'static str) -> Duration {
        let bound =
            |text| humantime::parse_duration(text).unwrap_or_else(|_| unreachable!("a bound of {}", setting.name));
        let range = bound(least)..=bound(most);
        self.read(setting, |text| {
            let duration = humantime::parse_duration(text).ok().filter(|duration| range.contains(duration));
            duration.ok_or_else(|| format!("a time from {least} to {most}, as in {}", setting.default))
        })
    }

    fn path(&mut self, setting: &Setting) -> PathBuf {
        self.read(setting, |text| Ok(PathBuf::from(text)))
    }

    fn claim(&mut self, setting: &Setting) -> String {
        self.read(setting, |text| Ok(text.to_owned()))
    }

    fn access_format(&mut self) -> AccessFormat {
        self.read(&ACCESS_FORMAT, AccessFormat::from_str)
    }

    fn log_format(&mut self) -> LogFormat {
        let is_set = self.set(&LOG_FORMAT).is_some();
        if is_set { self.read_or(&LOG_FORMAT, LogFormat::Json) } else { LogFormat::for_standard_error() }
    }

    /// A value whose default is in words.
    fn read_or<T: FromStr<Err = String>>(&mut self, setting: &Setting, default: T) -> T {
        let Some(text) = self.set(setting) else { return default };
        text.parse().unwrap_or_else(|right| {
            self.mistake(setting, format!("`{text}` is wrong; right would be {right}"));
            default
        })
    }

    fn hashing(&mut self) -> HasherSettings {
        let memory = self.read(&HASH_MEMORY, |text| {
            let size: Option<ByteSize> = text.parse().ok();
            let range = ByteSize::kib(8)..=ByteSize::gib(4);
            size.filter(|size| range.contains(size)).ok_or_else(|| "a size from 8KiB to 4GiB, as in 19MiB".to_owned())
        });
        let lanes = self.number(&HASH_LANES, 1, 16);
        let memory_kib = u32::try_from(memory.as_u64() / 1024).unwrap_or(u32::MAX);
        if memory_kib < 8 * lanes {
            self.mistake(&HASH_MEMORY, format!("{lanes} lanes need at least {}KiB", 8 * lanes));
        }
        let parameters = HashParameters { memory_kib, passes: self.number(&HASH_PASSES, 1, 100), lanes };
        let threads = match self.set(&HASH_THREADS) {
            Some(_) => self.read_or(&HASH_THREADS, Threads::of_quota()).0,
            None => Threads::of_quota().0,
        };
        HasherSettings { parameters, threads, max_wait: self.duration(&HASH_MAX_WAIT, "1ms", "60s") }
    }

    fn url<T: FromStr<Err = String>>(&mut self, setting: &Setting) -> Option<T> {
        let parsed = self.set(setting)?.parse();
        // Neither the value nor the parser's words are repeated: both may hold the password.
        parsed.map_err(|right| self.mistake(setting, format!("wrong; right would be {right}"))).ok()
    }

    fn stores(&mut self) -> Option<Stores> {
        let (database, redis) = (self.url(&DATABASE_URL), self.url(&REDIS_URL));
        match (self.set(&DATABASE_URL).is_some(), self.set(&REDIS_URL).is_some()) {
            (false, false) => return Some(Stores::Embedded),
            (true, false) => self.mistake(&REDIS_URL, "not set beside DATABASE_URL: set both, or neither"),
            (false, true) => self.mistake(&DATABASE_URL, "not set beside REDIS_URL: set both, or neither"),
            (true, true) => {}
        }
        database.zip(redis).map(|(database, redis)| Stores::PostgresRedis(Box::new(database), Box::new(redis)))
    }

    fn keys_dir(&mut self, is_embedded: bool, data_dir: &std::path::Path) -> PathBuf {
        if let Some(text) = self.set(&KEYS_DIR) {
            return PathBuf::from(text);
        }
        if !is_embedded {
            self.mistake(&KEYS_DIR, "not set: name the directory that `postern keys generate` shall fill");
        }
        data_dir.join("keys")
    }
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
    use super::*;

    fn values(environment: &[(&str, &str)]) -> Values {
        let lookup =
            |name: &str| environment.iter().find(|(other, _)| *other == name).map(|(_, text)| (*text).to_owned());
        Values::new(|_| None, lookup)
    }

    fn mistakes(environment: &[(&str, &str)]) -> Vec<String> {
        let mistakes = Config::for_serve(&values(environment)).expect_err("wrong settings");
        mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_defaults_are_valid() {
        let config = Config::for_serve(&values(&[])).expect("valid defaults");

        assert!(matches!(config.stores, Stores::Embedded));
        assert_eq!(config.keys_dir, PathBuf::from("./postern-data/keys"));
        assert_eq!(config.hashing.parameters, HashParameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 });
        assert_eq!(config.lifetimes.access, Duration::from_mins(5));
    }

    #[test]
    fn every_wrong_setting_is_reported_at_once_with_what_would_be_right() {
        insta::assert_debug_snapshot!(
            mistakes(&[
                ("POSTERN_LISTEN", "8000"),
                ("POSTERN_ACCESS_TTL", "2h"),
                ("POSTERN_PASSWORD_MIN_LENGTH", "4"),
                ("POSTERN_HASH_MEMORY", "64KiB"),
                ("POSTERN_HASH_LANES", "16"),
                ("POSTERN_HASH_THREADS", "none"),
                ("POSTERN_LOG_FORMAT", "xml"),
            ]),
            @r#"
        [
            "POSTERN_LISTEN: `8000` is wrong; right would be an address and a port, as in 127.0.0.1:8000",
            "POSTERN_ACCESS_TTL: `2h` is wrong; right would be a time from 1s to 1h, as in 5m",
            "POSTERN_PASSWORD_MIN_LENGTH: `4` is wrong; right would be a whole number from 8 to 64",
            "POSTERN_HASH_MEMORY: 16 lanes need at least 128KiB",
            "POSTERN_HASH_THREADS: `none` is wrong; right would be a whole number from 1 to 256",
            "POSTERN_LOG_FORMAT: `xml` is wrong; right would be text or json",
        ]
        "#
        );
    }

    #[test]
    fn one_url_alone_is_refused() {
        let url = "postgres://postern:hunter2@localhost/postern";

        let found = mistakes(&[("DATABASE_URL", url), ("POSTERN_KEYS_DIR", "keys")]);

        assert_eq!(found, ["REDIS_URL: not set beside DATABASE_URL: set both, or neither"]);
    }

    #[test]
    fn a_wrong_url_is_not_repeated() {
        let found = mistakes(&[
            ("DATABASE_URL", "mysql://postern:hunter2@localhost"),
            ("REDIS_URL", "http://:hunter2@localhost"),
            ("POSTERN_KEYS_DIR", "keys"),
        ]);

        assert_eq!(found.len(), 2, "{found:?}");
        assert!(!found.concat().contains("hunter2"), "{found:?}");
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_an_empty_value_is_none() {
        let flag = |setting: &Setting| (setting.name == "POSTERN_ISSUER").then(|| "flag".to_owned());
        let environment = |name: &str| match name {
            "POSTERN_ISSUER" | "POSTERN_AUDIENCE" => Some("environment".to_owned()),
            "DATABASE_URL" => Some(String::new()),
            _ => None,
        };

        let values = Values::new(flag, environment);

        assert_eq!(values.shown(&ISSUER), ("flag", Source::Flag));
        assert_eq!(values.shown(&AUDIENCE), ("environment", Source::Environment));
        assert_eq!(values.shown(&DATABASE_URL).1, Source::Default);
    }

    #[test]
    fn a_secret_is_never_shown() {
        let values = values(&[("REDIS_URL", "redis://:hunter2@localhost")]);

        assert_eq!(values.shown(&REDIS_URL), ("(set, not shown)", Source::Environment));
    }
}
