//! The table of settings, and where their values come from.

use std::{collections::HashMap, fmt};

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

/// A URL of a store: set itself, or in a file.
#[derive(Debug, Clone, Copy)]
pub struct UrlSettings {
    /// The URL.
    pub url: &'static Setting,
    /// The file that has it instead.
    pub file: &'static Setting,
}

/// Where PostgreSQL is.
pub const DATABASE: UrlSettings = UrlSettings { url: &DATABASE_URL, file: &DATABASE_URL_FILE };

/// Where Redis is.
pub const REDIS: UrlSettings = UrlSettings { url: &REDIS_URL, file: &REDIS_URL_FILE };

const fn setting(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, default, help, is_secret: false }
}

const fn secret(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, default, help, is_secret: true }
}

pub const LISTEN: Setting = setting("POSTERN_LISTEN", "127.0.0.1:8000", "Address and port of the public API");
pub const TLS_CERT: Setting = setting(
    "POSTERN_TLS_CERT",
    "none: the public API is plain HTTP",
    "File of the certificate and those that lead to a root, in PEM",
);
pub const TLS_KEY: Setting = setting("POSTERN_TLS_KEY", "none", "File of the certificate's key, in PEM");
pub const OPS_LISTEN: Setting =
    setting("POSTERN_OPS_LISTEN", "127.0.0.1:8001", "Address and port of probes and metrics; never public");
pub const DATABASE_URL: Setting =
    secret("DATABASE_URL", "unset: embedded store", "postgres://user:password@host/database, for users");
pub const DATABASE_URL_FILE: Setting = setting(
    "DATABASE_URL_FILE",
    "none",
    "File that has DATABASE_URL in its place; read again when PostgreSQL refuses the password",
);
pub const REDIS_URL: Setting =
    secret("REDIS_URL", "unset: embedded store", "redis://… or rediss://… (TLS), for sessions");
pub const REDIS_URL_FILE: Setting = setting(
    "REDIS_URL_FILE",
    "none",
    "File that has REDIS_URL in its place; read again when Redis refuses the password",
);
pub const DATA_DIR: Setting =
    setting("POSTERN_DATA_DIR", "./postern-data", "Directory of the embedded store and its keys");
pub const KEYS_DIR: Setting =
    setting("POSTERN_KEYS_DIR", "keys in the data directory when embedded, else required", "Directory of the keys");
pub const ISSUER: Setting = setting("POSTERN_ISSUER", "postern", "Claim `iss` of access tokens");
pub const AUDIENCE: Setting = setting("POSTERN_AUDIENCE", "postern", "Claim `aud` of access tokens");
pub const ACCESS_FORMAT: Setting = setting(
    "POSTERN_ACCESS_FORMAT",
    "paseto",
    "Format of access tokens: paseto; with the cargo feature `jwt` also paseto-jwt-claims and jwt",
);
pub const ACCESS_TTL: Setting = setting("POSTERN_ACCESS_TTL", "5m", "Life of an access token, 1s to 1h");
pub const REFRESH_TTL: Setting =
    setting("POSTERN_REFRESH_TTL", "24h", "Life of a session from login to its absolute end, 1s to 365d");
pub const SESSION_IDLE_TTL: Setting = setting(
    "POSTERN_SESSION_IDLE_TTL",
    "none",
    "How long a session may go unused before it ends, 2m to 365d, or none; counted from the noted use, which may be up to a minute earlier",
);
pub const MAX_SESSIONS: Setting =
    setting("POSTERN_MAX_SESSIONS", "100", "Sessions that a user may have at once, 1 to 1000; the oldest ones end");
pub const REFRESH_ROTATION: Setting =
    setting("POSTERN_REFRESH_ROTATION", "off", "Whether a refresh replaces the refresh token: on or off");
pub const API_KEYS_FILE: Setting =
    setting("POSTERN_API_KEYS_FILE", "none: nobody is an operator", "File of the API keys for `/introspect/`");
pub const KEYS_MAX_AGE: Setting =
    setting("POSTERN_KEYS_MAX_AGE", "5m", "How long caches may keep the published keys, 1s to 24h");
pub const PASSWORD_MIN_LENGTH: Setting =
    setting("POSTERN_PASSWORD_MIN_LENGTH", "8", "Code points of the shortest new password, 8 to 64");
pub const HASH_MEMORY: Setting =
    setting("POSTERN_HASH_MEMORY", "19MiB", "Memory of a password hash (Argon2id), 8KiB to 4GiB");
pub const HASH_PASSES: Setting = setting("POSTERN_HASH_PASSES", "2", "Passes of a password hash, 1 to 100");
pub const HASH_LANES: Setting = setting("POSTERN_HASH_LANES", "1", "Lanes of a password hash, 1 to 16");
pub const HASH_THREADS: Setting = setting("POSTERN_HASH_THREADS", "CPU quota", "Threads that hash passwords, 1 to 256");
pub const HASH_MAX_WAIT: Setting =
    setting("POSTERN_HASH_MAX_WAIT", "2s", "Longest wait for a hashing thread, 1ms to 60s");
pub const REQUEST_TIMEOUT: Setting = setting(
    "POSTERN_REQUEST_TIMEOUT",
    "10s",
    "Longest time for a request's head (10s at most), and from there to its answer, 100ms to 5m",
);
pub const STORE_TIMEOUT: Setting =
    setting("POSTERN_STORE_TIMEOUT", "1s", "Longest time for a request's store calls together, 10ms to 60s");
pub const MAX_CONNECTIONS: Setting = setting(
    "POSTERN_MAX_CONNECTIONS",
    "10000",
    "Open connections of the public API, 1 to 1000000; a newcomer displaces an idle one",
);
pub const IDLE_TIMEOUT: Setting = setting(
    "POSTERN_IDLE_TIMEOUT",
    "75s",
    "Longest time of a connection from one request to the next, 100ms to 1h; longer than that of the proxy in front",
);
pub const MAX_CONNECTION_AGE: Setting = setting(
    "POSTERN_MAX_CONNECTION_AGE",
    "5m",
    "Age, give or take a tenth, at which a connection is asked to close, 1s to 24h",
);
pub const CORS_ORIGINS: Setting = setting(
    "POSTERN_CORS_ORIGINS",
    "none",
    "Origins whose scripts may read answers, parted by commas, as in https://app.example.org",
);
pub const VERIFY_DEGRADED: Setting = setting(
    "POSTERN_VERIFY_DEGRADED",
    "refuse",
    "What `/verify/` does while Redis cannot be reached: refuse, or accept a token for what it says",
);
pub const THROTTLE: Setting = setting("POSTERN_THROTTLE", "on", "Limits on failed logins and on sign-ups: on or off");
pub const TRUSTED_PROXIES: Setting = setting(
    "POSTERN_TRUSTED_PROXIES",
    "none",
    "Addresses and networks whose `X-Forwarded-For` is believed, as in 10.0.0.0/8,2001:db8::/32",
);
pub const AUDIT_RETENTION: Setting = setting(
    "POSTERN_AUDIT_RETENTION",
    "365d",
    "How long audit events stay in their table, 1d to 3650d, or none: for ever",
);
pub const DRAIN_DELAY: Setting =
    setting("POSTERN_DRAIN_DELAY", "0s", "From SIGTERM to the last accepted connection, 0s to 5m");
pub const SHUTDOWN_GRACE: Setting =
    setting("POSTERN_SHUTDOWN_GRACE", "20s", "After that, longest time for requests under way, 100ms to 10m");
pub const LOG: Setting = setting("POSTERN_LOG", "info", "Least level of the log: error, warn, info, debug, trace");
pub const LOG_FORMAT: Setting =
    setting("POSTERN_LOG_FORMAT", "text on a terminal, else json", "Format of the log: text or json");

/// Every setting, in the order in which it is shown.
pub const SETTINGS: &[Setting] = &[
    LISTEN,
    OPS_LISTEN,
    TLS_CERT,
    TLS_KEY,
    DATABASE_URL,
    DATABASE_URL_FILE,
    REDIS_URL,
    REDIS_URL_FILE,
    DATA_DIR,
    KEYS_DIR,
    ISSUER,
    AUDIENCE,
    ACCESS_FORMAT,
    ACCESS_TTL,
    REFRESH_TTL,
    SESSION_IDLE_TTL,
    MAX_SESSIONS,
    REFRESH_ROTATION,
    API_KEYS_FILE,
    KEYS_MAX_AGE,
    PASSWORD_MIN_LENGTH,
    HASH_MEMORY,
    HASH_PASSES,
    HASH_LANES,
    HASH_THREADS,
    HASH_MAX_WAIT,
    REQUEST_TIMEOUT,
    STORE_TIMEOUT,
    MAX_CONNECTIONS,
    IDLE_TIMEOUT,
    MAX_CONNECTION_AGE,
    CORS_ORIGINS,
    VERIFY_DEGRADED,
    THROTTLE,
    TRUSTED_PROXIES,
    AUDIT_RETENTION,
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

    /// What somebody set.
    #[must_use]
    pub fn set(&self, setting: &Setting) -> Option<&str> {
        self.0.get(setting.name).map(|(text, _)| text.as_str())
    }

    /// Whether somebody set a URL, or a file that has it.
    #[must_use]
    pub fn has(&self, settings: UrlSettings) -> bool {
        self.set(settings.url).or_else(|| self.set(settings.file)).is_some()
    }

    /// A setting's value for people, and where it came from. A secret is never shown.
    #[must_use]
    pub fn display(&self, setting: &Setting) -> (&str, Source) {
        match self.0.get(setting.name) {
            Some((_, source)) if setting.is_secret => ("(set, not shown)", *source),
            Some((text, source)) => (text, *source),
            None => (setting.default, Source::Default),
        }
    }
}

/// A setting that cannot be used, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Which setting.
    pub name: &'static str,
    /// What is wrong and what would be right.
    pub sentence: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.sentence)
    }
}
