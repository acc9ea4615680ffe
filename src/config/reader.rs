//! Parses the values of settings, and gathers what is wrong with them.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use bytesize::ByteSize;

use super::{
    EmbeddedConfig, Stores,
    hashing::{memory_limit, objection},
    settings::{
        ACCESS_FORMAT, ACCESS_TTL, DATA_DIR, DATABASE_URL, HASH_LANES, HASH_MAX_WAIT, HASH_MEMORY, HASH_PASSES,
        HASH_THREADS, KEYS_DIR, KEYS_MAX_AGE, LOG_FORMAT, Mistake, REDIS_URL, REFRESH_TTL, SESSION_IDLE_TTL, Setting,
        Values,
    },
};
use crate::{
    accounts::Lifetimes,
    passwords::{HashParameters, HasherSettings},
    telemetry::LogFormat,
    tokens::AccessFormat,
};

/// Parses values and gathers mistakes. Where a value is wrong, its default stands in until [`Reader::finish`].
pub struct Reader<'values> {
    values: &'values Values,
    mistakes: Vec<Mistake>,
}

impl<'values> Reader<'values> {
    pub fn new(values: &'values Values) -> Self {
        Self { values, mistakes: Vec::new() }
    }

    pub fn finish<T>(self, read: T) -> Result<T, Vec<Mistake>> {
        if self.mistakes.is_empty() { Ok(read) } else { Err(self.mistakes) }
    }

    pub fn mistake(&mut self, setting: &Setting, sentence: impl Into<String>) {
        self.mistakes.push(Mistake { name: setting.name, sentence: sentence.into() });
    }

    pub fn set(&self, setting: &Setting) -> Option<&'values str> {
        self.values.set(setting)
    }

    /// A value by its parser, or the default by the same one.
    pub fn read<T>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Result<T, String>) -> T {
        if let Some(text) = self.set(setting) {
            match parse(text) {
                Ok(value) => return value,
                Err(right) => self.mistake(setting, format!("`{text}` is wrong; right would be {right}")),
            }
        }
        parse(setting.default).unwrap_or_else(|right| unreachable!("the default of {}: {right}", setting.name))
    }

    pub fn parsed<T: FromStr>(&mut self, setting: &Setting, right: &str) -> T {
        self.read(setting, |text| text.parse().map_err(|_| right.to_owned()))
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
        text.parse().unwrap_or_else(|right| {
            self.mistake(setting, format!("`{text}` is wrong; right would be {right}"));
            default
        })
    }

    /// How a server hashes: its threads have what memory they need, all at once.
    pub fn server_hashing(&mut self) -> HasherSettings {
        let hashing = self.hashing();
        if let Some(objection) = memory_limit().and_then(|limit| objection(&hashing, limit)) {
            self.mistake(&HASH_MEMORY, objection);
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
            self.mistake(&HASH_MEMORY, format!("{lanes} lanes need at least {}KiB", 8 * lanes));
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

    pub fn url<T: FromStr<Err = String>>(&mut self, setting: &Setting) -> Option<T> {
        let parsed = self.set(setting)?.parse();
        // Neither the value nor the parser's words are repeated: both may hold the password.
        parsed.map_err(|right| self.mistake(setting, format!("wrong; right would be {right}"))).ok()
    }

    pub fn stores(&mut self) -> Option<Stores> {
        let (database, redis) = (self.url(&DATABASE_URL), self.url(&REDIS_URL));
        match (self.set(&DATABASE_URL).is_some(), self.set(&REDIS_URL).is_some()) {
            (false, false) => return Some(Stores::Embedded),
            (true, false) => self.mistake(&REDIS_URL, "not set beside DATABASE_URL: set both, or neither"),
            (false, true) => self.mistake(&DATABASE_URL, "not set beside REDIS_URL: set both, or neither"),
            (true, true) => {}
        }
        database.zip(redis).map(|(database, redis)| Stores::PostgresRedis(Box::new(database), Box::new(redis)))
    }

    /// Where the embedded store is; Redis without PostgreSQL is a mistake.
    pub fn embedded(&mut self) -> EmbeddedConfig {
        if self.set(&REDIS_URL).is_some() && self.set(&DATABASE_URL).is_none() {
            self.mistake(&DATABASE_URL, "not set beside REDIS_URL: set both, or neither");
        }
        let data_dir = self.path(&DATA_DIR);
        EmbeddedConfig { keys_dir: self.keys_dir(true, &data_dir), data_dir }
    }

    pub fn keys_dir(&mut self, is_embedded: bool, data_dir: &Path) -> PathBuf {
        if let Some(text) = self.set(&KEYS_DIR) {
            return PathBuf::from(text);
        }
        if !is_embedded {
            self.mistake(&KEYS_DIR, "not set: name the directory that `postern keys generate` shall fill");
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
